import { describe, expect, it } from 'vitest'
import { explainLoadFailure, plainReason } from './runtime-reason.ts'

// As ONNX Runtime 1.30 says them; the path of the model is shortened by the caller.
const OPSET =
  'Load model from model.onnx failed:/onnxruntime_src/onnxruntime/core/graph/model_load_utils.h:46 void ' +
  'onnxruntime::model_load_utils::ValidateOpsetForDomain(const std::unordered_map<std::__cxx11::basic_string<char>, int>&, ' +
  'const onnxruntime::logging::Logger&, bool, const std::string&, int) ONNX Runtime only *guarantees* support for models ' +
  'stamped with official released onnx opset versions. Opset 27 is under development and support for this is limited. The ' +
  'operator schemas and or other functionality may change before next ONNX release and in this case ONNX Runtime will not ' +
  'guarantee backward compatibility. Current official support for domain ai.onnx is till opset 26.\n'
const LOCALE =
  'Exception during initialization: /onnxruntime_src/onnxruntime/core/providers/cpu/text/string_normalizer.cc:235 ' +
  'onnxruntime::StringNormalizer::Locale::Locale(const std::string&)::<lambda()> Failed to construct locale with ' +
  'name:en_US.UTF-8:locale::facet::_S_create_c_locale name not valid:Please, install necessary language-pack-XX and ' +
  'configure locales\n'
const LAYOUT =
  'Exception during initialization: /onnxruntime_src/onnxruntime/core/providers/cpu/rnn/deep_cpu_gru.h:56 ' +
  'onnxruntime::DeepCpuGruOp::DeepCpuGruOp(const onnxruntime::OpKernelInfo&) layout_ == 0 was false. Batchwise recurrent ' +
  'operations (layout == 1) are not supported. If you need support create a github issue with justification.\n'

describe('a reason of the runtime', () => {
  it.each([
    [OPSET, 'it needs opset 27 of ai.onnx, this runtime takes up to 26', 'Export it with opset 26 or older.'],
    [
      'Load model from model.onnx failed:Unsupported model IR version: 99, max supported IR version: 13\n',
      'Unsupported model IR version: 99, max supported IR version: 13',
      'Export it with IR version 13 or older.',
    ],
    [
      LOCALE,
      'locale en_US.UTF-8, which a StringNormalizer of it asks for, is not installed here',
      "localedef -i en_US -f UTF-8 en_US.UTF-8), or give the node locale='C.UTF-8'.",
    ],
    [
      'Load model from model.onnx failed:Fatal error: ai.onnx.contrib:RegexSplit(-1) is not a registered function/op',
      'Fatal error: ai.onnx.contrib:RegexSplit(-1) is not a registered function/op',
      'ai.onnx.contrib:RegexSplit is a custom operator: export the model without it',
    ],
    [
      'Load model from model.onnx failed:This is an invalid model. In Node, ("", Foo, "", -1) : ("x": tensor(float),) -> ' +
        '("y": tensor(float),) , Error No Op registered for Foo with domain_version of 13',
      'Error No Op registered for Foo with domain_version of 13',
      'Opset 13 has no operator Foo',
    ],
    [
      "Could not find an implementation for Add(6) node with name ''",
      'Could not find an implementation for Add(6)',
      'The file is valid, but the runtime has no Add for these datatypes',
    ],
    [
      LAYOUT,
      'layout_ == 0 was false. Batchwise recurrent operations (layout == 1) are not supported',
      'with layout 0',
    ],
    [
      "Load model from model.onnx failed:This is an invalid model. Type Error: Type 'tensor(int16)' of input parameter (x) of " +
        'operator (Add) in node () is invalid.',
      "Type 'tensor(int16)' of input parameter (x)",
      'Add of this opset takes no tensor(int16)',
    ],
    [
      'Load model from model.onnx failed:Protobuf parsing failed.',
      'Protobuf parsing failed',
      'Export the model again as one valid ONNX file.',
    ],
  ])('is told with the remedy of its cause: %s', (message, reason, remedy) => {
    const told = explainLoadFailure(message)
    expect(told.reason).toContain(reason)
    expect(told.remedy).toContain(remedy)
    expect(`${told.reason}${told.remedy}`).not.toMatch(/onnxruntime_src|std::|Load model from|\n/)
    expect(told.remedy).toContain('See docs/models.md#exporting.')
  })

  it('that is too long loses its beginning: what matters stands at its end', () => {
    const told = plainReason(`${'a node of the graph, '.repeat(40)}has no input w`)
    expect(told).toHaveLength(300)
    expect(told).toMatch(/^….*has no input w$/)
  })

  it('tells no path of a machine, not even behind a colon, and leaves addresses', () => {
    expect(plainReason('Load failed:/home/me/m.bin, "/etc/passwd" and name:/x/y')).toBe(
      'Load failed:…, "…" and name:…',
    )
    expect(plainReason('see https://onnx.ai/onnx')).toBe('see https://onnx.ai/onnx')
  })

  it('drops source lines of other builds, too', () => {
    const build =
      'D:\\a\\_work\\1\\s\\onnxruntime\\core\\graph\\graph.cc:12 void onnxruntime::Graph::F<T>(int) [with T = float] '
    expect(plainReason(`${build}it broke`)).toBe('it broke')
  })
})
