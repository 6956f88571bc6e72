import { seeModels } from './models-page.ts'

/** Why the runtime did not load a model, in one line, and what mends that cause. */
export interface LoadRefusal {
  readonly reason: string
  readonly remedy: string
}

interface Cause {
  /** What the runtime says of it. */
  readonly pattern: RegExp
  /** The reason in our words; default: the runtime's own. */
  readonly reason?: (...found: string[]) => string
  readonly remedy: (...found: string[]) => string
}

/** Causes the runtime tells apart, and what each asks for. Most files it refuses are valid ONNX. */
const CAUSES: readonly Cause[] = [
  {
    pattern: /Opset (\d+) is under development.*support for domain (\S+) is till opset (\d+)/,
    reason: (opset, domain, newest) =>
      `it needs opset ${opset} of ${domain}, this runtime takes up to ${newest}`,
    remedy: (_opset, _domain, newest) => `Export it with opset ${newest} or older. ${seeModels('exporting')}`,
  },
  {
    pattern: /Unsupported model IR version: \d+, max supported IR version: (\d+)/,
    remedy: (newest) => `Export it with IR version ${newest} or older. ${seeModels('exporting')}`,
  },
  {
    pattern: /Failed to construct locale with name:([\w.@-]+)/,
    reason: (locale) => `locale ${locale}, which a StringNormalizer of it asks for, is not installed here`,
    remedy: (locale = '') =>
      `Install it (Debian: apt-get install locales, localedef -i ${locale.split('.')[0]} -f UTF-8 ${locale}), or give the node locale='C.UTF-8'. ${seeModels('exporting')}`,
  },
  {
    pattern: /Fatal error: (\S+)\(-?\d+\) is not a registered function/,
    remedy: (operator) =>
      `${operator} is a custom operator: export the model without it, and let the producer do its work. ${seeModels('exporting')}`,
  },
  {
    pattern: /No Op registered for (\S+) with domain_version of (\d+)/,
    remedy: (operator, opset) =>
      `Opset ${opset} has no operator ${operator}: export with an opset that has it. ${seeModels('exporting')}`,
  },
  {
    pattern: /Could not find an implementation for (\w+)\((\d+)\)/,
    remedy: (operator) =>
      `The file is valid, but the runtime has no ${operator} for these datatypes on a CPU: cast to FP32 before it and export again. ${seeModels('exporting')}`,
  },
  {
    pattern: /layout == 1\) are not supported/,
    remedy: () =>
      `Export the GRU, LSTM or RNN with layout 0: time first, then the batch. ${seeModels('exporting')}`,
  },
  {
    pattern: /Type '(tensor\(\w+\))' of input parameter \(\S+\) of operator \((\S+)\)/,
    remedy: (type, operator) =>
      `${operator} of this opset takes no ${type}: cast before it, or export with a newer opset. ${seeModels('exporting')}`,
  },
]

/**
 * Reads what the runtime says of a model it did not load.
 *
 * @param message its own words, with the model's path already shortened
 */
export function explainLoadFailure(message: string): LoadRefusal {
  const plain = plainReason(message, 600).replace(
    /^(?:Load model from \S+ failed: ?|Exception during initialization: )+/,
    '',
  )
  for (const { pattern, reason, remedy } of CAUSES) {
    const found = pattern.exec(plain)
    if (found !== null) {
      const parts = found.slice(1)
      return { reason: reason?.(...parts) ?? plain.replace(/\.$/, ''), remedy: remedy(...parts) }
    }
  }
  return {
    reason: plain.replace(/\.$/, ''),
    remedy: `Export the model again as one valid ONNX file. ${seeModels('exporting')}`,
  }
}

/** A line of the runtime's own source with the C++ function it stands in, before the sentence that matters. */
const SOURCE_LINE =
  /(?:\b[A-Za-z]:)?[^\s:]*[\\/][^\s:]+\.(?:cc|cpp|h|cu):\d+ [^(]*\((?:[^()]|\([^()]*\))*\)(?: const)?(?:::<lambda\([^()]*\)>)?(?: \[with [^\]]*\])? /g
/** A path of a machine, but not one of an address. */
const PATH = /(^|[\s('":=])\/(?!\/)[^\s:,'")]+/g

/**
 * A message of the runtime in one line: without line breaks, control characters, and paths and functions of the machine it
 * was built on. One that is too long loses its beginning: the reason stands at the end.
 */
export function plainReason(message: string, maxLength = 300): string {
  const plain = message
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(SOURCE_LINE, ' ')
    .replace(PATH, '$1…')
    .replace(/ {2,}/g, ' ')
    .trim()
  return plain.length <= maxLength ? plain : `…${plain.slice(plain.length - maxLength + 1)}`
}
