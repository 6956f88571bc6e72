import { createNames, isPrefix, type Names, PLAIN_NAMES } from '../sdk/contract/names.ts'

/** The names of the Pelton that an environment is for; plain ones where its prefix is none, which its settings refuse. */
export function namesOfEnv({ PELTON_PREFIX: prefix }: NodeJS.ProcessEnv): Names {
  return prefix !== undefined && isPrefix(prefix) ? createNames(prefix) : PLAIN_NAMES
}
