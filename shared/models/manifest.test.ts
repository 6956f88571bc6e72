import { describe, expect, it } from 'vitest'
import { PeltonError } from '../sdk/errors.ts'
import { completeManifest, mergeManifests, parseManifest } from './manifest.ts'
import { DEFAULT_RETRIES, type ManifestSource } from './manifest-schema.ts'
import type { Signature } from './signature.ts'

const signature: Signature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [null, 2] },
    { name: 'count', datatype: 'INT64', shape: [null, 1] },
  ],
  outputs: [
    { name: 'label', datatype: 'INT64', shape: [null] },
    { name: 'score', datatype: 'FP32', shape: [null, 2] },
  ],
  constants: [],
}

function refusal(act: () => unknown): PeltonError {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}

describe('parseManifest', () => {
  it('reads YAML', () => {
    const text = `
description: Flight delays
inputs:
  x: { features: [distance, { feature: hour, default: 12 }] }
  count: passengers
outputs: [score]
batching: { maxRows: 32 }
golden:
  - features: { distance: 1, hour: 2, passengers: 9007199254740993 }
    outputs: { score: [[0.5, .nan]] }
`
    expect(parseManifest(text, 'manifest.yaml')).toEqual({
      description: 'Flight delays',
      inputs: { x: { features: ['distance', { feature: 'hour', default: 12 }] }, count: 'passengers' },
      outputs: ['score'],
      batching: { maxRows: 32 },
      golden: [
        {
          features: { distance: 1, hour: 2, passengers: 9007199254740993n },
          outputs: { score: [[0.5, Number.NaN]] },
        },
      ],
    })
  })

  it('reads JSON, and an empty file as an empty manifest', () => {
    expect(parseManifest('{"retries": {"maxAttempts": 5}}', 'manifest.json')).toEqual({
      retries: { maxAttempts: 5 },
    })
    expect(parseManifest('', 'manifest.yaml')).toEqual({})
  })

  it('reports every problem at once, with path, value and remedy', () => {
    const text =
      'batchin: 1\nbatching: { maxRows: 0, maxRow: 3 }\noutputs: []\ngolden: [{ outputs: { y: 1 } }]'
    const error = refusal(() => parseManifest(text, 'm/manifest.yaml'))
    expect(error.code).toBe('invalid-configuration')
    expect(error.details.field).toBe('m/manifest.yaml')
    for (const words of [
      'batchin = 1: Unknown key. Did you mean batching?',
      'batching.maxRows = 0: ',
      'batching.maxRow = 3: Unknown key. Did you mean maxRows?',
      'outputs = []: ',
      'needs exactly one of features and inputs',
      'See docs/models.md#manifest.',
    ]) {
      expect(error.message).toContain(words)
    }
  })

  it.each([
    ['batching: { maxRows: 0 }', 'batching'],
    ['retries: { attempts: 1 }\nlimits: { timeoutMs: 0 }', 'limits-and-retries'],
    ['checks: { finite: true }', 'checks'],
    ['admission: { mode: on }', 'admission'],
    ['slo: { deadlineMs: 0 }', 'admission'],
    ['golden: [{ outputs: { y: 1 } }]', 'golden-samples'],
    ['inputs: { x: [] }', 'feature-mapping'],
    ['inputs: { x: [] }\nchecks: yes', 'manifest'],
    ['toString: 1', 'manifest'],
  ])('says of %j where the page tells about it', (text, section) => {
    expect(refusal(() => parseManifest(text, 'm')).message).toMatch(`See docs/models.md#${section}.`)
  })

  it.each([
    ['a repeated key', 'retries: { maxAttempts: 1 }\nretries: { maxAttempts: 2 }', 'line 2'],
    ['broken YAML', 'outputs: [a', 'line 1'],
    ['an unknown tag', 'description: !!js/function x', 'mistakes'],
    [
      'an explosion of aliases',
      `a: &a [1,1]\nb: &b [${'*a,'.repeat(60)}]\nc: [${'*b,'.repeat(60)}]`,
      'alias',
    ],
    ['a text too long to be one', `description: ${'x'.repeat(1_100_000)}`, 'characters'],
  ])('refuses %s', (_, text, words) => {
    const error = refusal(() => parseManifest(text, 'manifest.yaml'))
    expect(error.code).toBe('invalid-configuration')
    expect(error.message).toContain(words)
  })
})

describe('completeManifest', () => {
  it('fills in everything, frozen', () => {
    const manifest = completeManifest({}, signature, 'm')
    expect(manifest).toEqual({
      description: '',
      inputs: [
        { tensor: 'x', columns: [{ feature: 'x' }], rowShape: undefined, isExplicit: false },
        { tensor: 'count', columns: [{ feature: 'count' }], rowShape: [1, 1], isExplicit: false },
      ],
      outputs: ['label', 'score'],
      batching: { enabled: true, maxRows: 64 },
      retries: { maxAttempts: 3, baseDelayMs: 500, maxDelayMs: 30_000 },
      limits: { timeoutMs: 30_000, maxRowsPerEvent: 4096 },
      checks: { finiteInputs: false, finiteOutputs: false },
      admission: { mode: 'enforce', maxBacklogSeconds: { high: 3_600, normal: 3_600, low: 0 } },
      slo: { deadlineMs: undefined },
      unknownFeatures: 'refuse',
      golden: [],
    })
    expect(Object.isFrozen(manifest.inputs[0]?.columns)).toBe(true)
  })

  it('reports every name, count and default that does not fit the model', () => {
    const source: ManifestSource = {
      inputs: {
        X: 'a',
        x: { features: ['a', 'b', 'a'] },
        count: { feature: 'n', default: 1.5 },
      },
      outputs: ['scores', 'label', 'label'],
    }
    const error = refusal(() => completeManifest(source, signature, 'm'))
    for (const words of [
      'inputs.X = "X": Did you mean "x"?',
      'These 3 features do not fill an input of shape [null,2]',
      'inputs.x.features[2] = "a": Name each feature once per input.',
      'inputs.count.features[0].default = 1.5: The input is INT64',
      'outputs[0] = "scores": Did you mean "score"?',
      'outputs[2] = "label": Name each output once.',
    ]) {
      expect(error.message).toContain(words)
    }
  })
})

describe('a complete manifest', () => {
  it('carries the delays of retries beside the attempts its author gave', () => {
    const { retries } = completeManifest({ retries: { maxAttempts: 7 } }, signature, 'm')
    expect(retries).toEqual({ ...DEFAULT_RETRIES, maxAttempts: 7 })
  })
})

describe('admission', () => {
  it.each(['off', 'observe', 'enforce'] as const)('may be %s, in YAML as it is written', (mode) => {
    const source = parseManifest(`admission: { mode: ${mode} }`, 'manifest.yaml')
    expect(completeManifest(source, signature, 'm').admission.mode).toBe(mode)
  })

  it('has a bound for each lane, and a deadline for events that bring none', () => {
    const model = parseManifest('admission: { maxBacklogSecondsLow: 60 }\nslo: { deadlineMs: 250 }', 'm')
    const version = parseManifest('admission: { maxBacklogSecondsHigh: 0 }', 'm')
    const { admission, slo } = completeManifest(mergeManifests(model, version), signature, 'm')
    expect(admission).toEqual({ mode: 'enforce', maxBacklogSeconds: { high: 0, normal: 3_600, low: 60 } })
    expect(slo).toEqual({ deadlineMs: 250 })
  })
})

describe('mergeManifests', () => {
  it('lays groups over each other setting by setting and replaces the rest whole', () => {
    const merged = mergeManifests(
      { description: 'of the model', outputs: ['label'], batching: { enabled: false, maxRows: 8 } },
      { outputs: ['score'], batching: { maxRows: 16 }, retries: { maxAttempts: 1 } },
    )
    expect(merged).toEqual({
      description: 'of the model',
      outputs: ['score'],
      batching: { enabled: false, maxRows: 16 },
      retries: { maxAttempts: 1 },
    })
  })
})
