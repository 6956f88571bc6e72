import { seeModels } from './models-page.ts'

/** What a file that is no ONNX is instead, and what to do. */
export interface ForeignFile {
  readonly kind: string
  readonly remedy: string
}

/** Bytes to look at: a Git LFS pointer has 130, the name of a document type comes earlier. */
export const HEAD_BYTES = 256

const UNPACK = 'Unpack it, and put the file in it there.'
const CONVERT = `Convert it: see the recipes. ${seeModels('exporting')}`

const PICKLE: ForeignFile = { kind: 'a Python pickle or joblib file', remedy: CONVERT }

const HEADS: readonly (readonly [begins: RegExp | string, file: ForeignFile])[] = [
  [
    /^version https:\/\/git-lfs\.github\.com\/spec\//,
    {
      kind: 'a Git LFS pointer',
      remedy:
        'Fetch the file it stands for: git lfs install, then git lfs pull, where the folder is checked out.',
    },
  ],
  [
    /^\s*<(?:!doctype html|html|\?xml|!--)/i,
    {
      kind: 'an HTML or XML page',
      remedy: 'Download the file again: a page of an error or of a sign-in was saved in its place.',
    },
  ],
  [
    /^\s*[{[]/,
    { kind: 'JSON', remedy: `Put the model there, not what describes it or an error. ${CONVERT}` },
  ],
  ['\x1f\x8b', { kind: 'gzip', remedy: UNPACK }],
  ['\x28\xb5\x2f\xfd', { kind: 'Zstandard', remedy: UNPACK }],
  [
    'PK\x03\x04',
    {
      kind: 'a ZIP archive, as PyTorch and Keras write it, too',
      remedy: `Unpack it, or convert it. ${CONVERT}`,
    },
  ],
  ['\x80\x02', PICKLE],
  ['\x80\x03', PICKLE],
  ['\x80\x04', PICKLE],
  ['\x80\x05', PICKLE],
  ['\x89HDF\r\n', { kind: 'HDF5, as Keras writes it', remedy: CONVERT }],
  [/^.{4}TFL3/s, { kind: 'a TensorFlow Lite model', remedy: CONVERT }],
  [
    /^.{4}ORTM/s,
    { kind: 'a model in the ORT format', remedy: `Ship the ONNX file it was made of. ${CONVERT}` },
  ],
  [/^GGUF/, { kind: 'a GGUF file', remedy: CONVERT }],
  [/^.{8}\{"/s, { kind: 'a safetensors file', remedy: `It holds weights alone. ${CONVERT}` }],
]

/**
 * Recognises a file by how it begins.
 *
 * @param head its first bytes, one character each (latin1)
 */
export function recogniseFile(head: string): ForeignFile | undefined {
  return HEADS.find(([begins]) =>
    typeof begins === 'string' ? head.startsWith(begins) : begins.test(head),
  )?.[1]
}
