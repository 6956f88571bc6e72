import type { Command } from 'commander'

/** A command as the help of `pelton` shows it, and how it is loaded. */
export interface ListedCommand {
  /** As it is called: `publish [options] <model> [file]`; the first word is its name. */
  readonly usage: string
  readonly summary: string
  /** Loads the command with all it needs. */
  readonly load: () => Promise<Command>
}

/**
 * The commands of `pelton`, in the order of its help. Usage and summary repeat what each command says of itself, because
 * loading them all costs a second of CPU at each start; a test holds them against the commands.
 */
export const COMMANDS: readonly ListedCommand[] = [
  {
    usage: 'up [options]',
    summary: 'run Pelton on this machine: broker, streams and supervised workers',
    load: async () => (await import('./commands/up.ts')).upCommand(),
  },
  {
    usage: 'demo [options]',
    summary: 'predict the delays of real flights, and count what came of each',
    load: async () => (await import('./commands/demo.ts')).demoCommand(),
  },
  {
    usage: 'publish [options] <model> [file]',
    summary: 'publish events from a file or standard input, one JSON object a line',
    load: async () => (await import('./commands/publish.ts')).publishCommand(),
  },
  {
    usage: 'watch [options]',
    summary: 'print predictions and failures as they come',
    load: async () => (await import('./commands/watch.ts')).watchCommand(),
  },
  {
    usage: 'status [options]',
    summary: 'how much waits, how fast it is answered, how full the streams are',
    load: async () => (await import('./commands/status.ts')).statusCommand(),
  },
  {
    usage: 'dead-letters',
    summary: 'look at the events Pelton gave up on, and why; keep, discard or purge them',
    load: async () => (await import('./commands/dead-letters.ts')).deadLettersCommand(),
  },
  {
    usage: 'replay',
    summary: 'send dead letters again, at a pace, as a task that survives',
    load: async () => (await import('./commands/replay.ts')).replayCommand(),
  },
  {
    usage: 'audit [options]',
    summary: 'prove that every accepted event has its outcome, or still waits',
    load: async () => (await import('./commands/audit.ts')).auditCommand(),
  },
  {
    usage: 'control',
    summary: 'run the control service alone: watch, dead letters and replays over HTTP',
    load: async () => (await import('./commands/control.ts')).controlCommand(),
  },
  {
    usage: 'gateway',
    summary: 'run a gateway alone: the Open Inference Protocol over HTTP',
    load: async () => (await import('./commands/gateway.ts')).gatewayCommand(),
  },
  {
    usage: 'models',
    summary: 'look at a models folder, and try its models before they are shipped',
    load: async () => (await import('./commands/models.ts')).modelsCommand(),
  },
  {
    usage: 'keys',
    summary: 'make, list and revoke the API keys of the gateway',
    load: async () => (await import('./commands/keys.ts')).keysCommand(),
  },
  {
    usage: 'doctor [options]',
    summary: 'check broker, streams, consumers, rights, clocks and models, and say how to mend each',
    load: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  },
  {
    usage: 'provision [options]',
    summary: "create Pelton's streams and consumers on a broker, or let their limits grow",
    load: async () => (await import('./commands/provision.ts')).provisionCommand(),
  },
  {
    usage: 'rights [options]',
    summary: 'print who may do what at the broker, as files for its accounts',
    load: async () => (await import('./commands/rights.ts')).rightsCommand(),
  },
  {
    usage: 'settings',
    summary: 'list every setting with its default',
    load: async () => (await import('./commands/settings.ts')).settingsCommand(),
  },
]
