import { type Command, Option } from 'commander'
import type { z } from 'zod'

/**
 * Gives a command one option per setting: `PELTON_ACK_WAIT_MS` becomes `--ack-wait-ms`. Values are not read here:
 * {@link withOptions} lays them over the environment, so that they are checked in one place.
 */
export function addSettingOptions(command: Command, shape: z.ZodRawShape): Command {
  for (const [variable, schema] of Object.entries(shape)) {
    const description = (schema as z.ZodType).description ?? ''
    command.addOption(new Option(`${optionOf(variable)} <value>`, `${description} (${variable})`))
  }
  return command
}

/** The environment with the options that were given on the command line laid over it. */
export function withOptions(
  env: NodeJS.ProcessEnv,
  shape: z.ZodRawShape,
  options: Readonly<Record<string, unknown>>,
): NodeJS.ProcessEnv {
  const laidOver = { ...env }
  for (const variable of Object.keys(shape)) {
    const value = options[attributeOf(variable)]
    if (typeof value === 'string') laidOver[variable] = value
  }
  return laidOver
}

function optionOf(variable: string): string {
  return `--${variable.replace('PELTON_', '').toLowerCase().replaceAll('_', '-')}`
}

function attributeOf(variable: string): string {
  return new Option(`${optionOf(variable)} <value>`).attributeName()
}
