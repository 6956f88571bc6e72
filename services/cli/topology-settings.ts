import { bytes, count, milliseconds, readSettings } from '../../shared/runtime/config.ts'
import { DEFAULT_TOPOLOGY, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'

const D = DEFAULT_TOPOLOGY
const MOST = Number.MAX_SAFE_INTEGER
/** Nanoseconds in a signed 64-bit integer end after 292 years; a hundred are enough. */
const MOST_MS = 100 * 365 * 24 * 3_600_000

/** What is bounded only where it has to be: docs/provisioning.md says to what. */
const WHERE_REQUIRED = 'none, unless the account wants one'

/** Limits of the streams and consumers, for `pelton provision` and `pelton up`. */
export const TOPOLOGY_SETTINGS = {
  PELTON_REPLICAS: count(1, 5).default(D.replicas).describe('Copies of each stream in a cluster'),
  PELTON_FEATURES_MAX_MESSAGES: count(1, MOST)
    .default(D.featuresMaxMessages)
    .describe('Events that may wait; beyond it producers are refused'),
  PELTON_FEATURES_MAX_BYTES: bytes(1024 ** 2)
    .default(D.featuresMaxBytes)
    .describe('Bytes of events that may wait'),
  PELTON_FEATURES_MAX_PER_SUBJECT: count(1, MOST)
    .optional()
    .describe(
      'Events of one model and lane that may wait: below 60 % of PELTON_FEATURES_MAX_MESSAGES (default: half of it, 500000 at most)',
    ),
  PELTON_RETRIES_MAX_BYTES: bytes(1024 ** 2)
    .optional()
    .describe(`Bytes RETRIES may have, of which workers fill a quarter at most (default: ${WHERE_REQUIRED})`),
  PELTON_RESULTS_MAX_AGE_MS: milliseconds(60_000, MOST_MS)
    .default(D.resultsMaxAgeMs)
    .describe('How long results are kept, and with them the promise of one outcome per event'),
  PELTON_RESULTS_MAX_MESSAGES: count(1, MOST)
    .default(D.resultsMaxMessages)
    .describe('Results kept at most; each costs about 0.45 KB of broker memory'),
  PELTON_RESULTS_MAX_BYTES: bytes(1024 ** 2)
    .optional()
    .describe(`Bytes of results kept at most; beyond it the oldest go (default: ${WHERE_REQUIRED})`),
  PELTON_DEAD_LETTERS_MAX_MESSAGES: count(1, MOST)
    .default(D.deadLettersMaxMessages)
    .describe('Dead letters kept at most; beyond it workers wait, nothing is dropped'),
  PELTON_DEAD_LETTERS_MAX_BYTES: bytes(1024 ** 2)
    .optional()
    .describe(
      `Bytes of dead letters kept at most; beyond it workers wait, nothing is dropped (default: ${WHERE_REQUIRED})`,
    ),
  PELTON_LEDGER_MAX_AGE_MS: milliseconds(60_000, MOST_MS)
    .default(D.ledgerMaxAgeMs)
    .describe('How long the ledger is kept: longer than anything it accounts for'),
  PELTON_LEDGER_MAX_BYTES: bytes(1024 ** 2)
    .default(D.ledgerMaxBytes)
    .describe(
      'Bytes the ledger may have; at four fifths of it workers stop pulling. Where the broker has no room for the default, it is halved until it ' +
        'fits; any other value is taken as it is',
    ),
  PELTON_BUCKETS_MAX_BYTES: bytes(1024 ** 2)
    .optional()
    .describe(`Bytes each bucket may have (default: ${WHERE_REQUIRED})`),
  PELTON_ACK_WAIT_MS: milliseconds(1_000, 3_600_000)
    .default(D.ackWaitMs)
    .describe('How long a worker may hold an event without a sign of life'),
  PELTON_MAX_ACK_PENDING: count(1, 10_000_000)
    .default(D.maxAckPending)
    .describe('Events of a pool and lane in flight over all workers'),
} as const

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readTopology(env: NodeJS.ProcessEnv): TopologyOptions {
  const settings = readSettings(TOPOLOGY_SETTINGS, env)
  return {
    replicas: settings.PELTON_REPLICAS,
    featuresMaxMessages: settings.PELTON_FEATURES_MAX_MESSAGES,
    featuresMaxBytes: settings.PELTON_FEATURES_MAX_BYTES,
    featuresMaxPerSubject: settings.PELTON_FEATURES_MAX_PER_SUBJECT,
    retriesMaxBytes: settings.PELTON_RETRIES_MAX_BYTES,
    resultsMaxAgeMs: settings.PELTON_RESULTS_MAX_AGE_MS,
    resultsMaxMessages: settings.PELTON_RESULTS_MAX_MESSAGES,
    resultsMaxBytes: settings.PELTON_RESULTS_MAX_BYTES,
    deadLettersMaxMessages: settings.PELTON_DEAD_LETTERS_MAX_MESSAGES,
    deadLettersMaxBytes: settings.PELTON_DEAD_LETTERS_MAX_BYTES,
    ledgerMaxAgeMs: settings.PELTON_LEDGER_MAX_AGE_MS,
    ledgerMaxBytes: settings.PELTON_LEDGER_MAX_BYTES,
    bucketsMaxBytes: settings.PELTON_BUCKETS_MAX_BYTES,
    ackWaitMs: settings.PELTON_ACK_WAIT_MS,
    maxAckPending: settings.PELTON_MAX_ACK_PENDING,
  }
}
