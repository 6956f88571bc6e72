import { readFileSync } from 'node:fs'
import { messageOf, showValue } from '../errors.ts'
import { type Naming, type SecurityField, unusable } from './security.ts'

/** Reads a file that an option names. @throws PeltonError by {@link unusable} where it cannot be read */
export function readSecurityFile(field: SecurityField, path: string, naming: Naming): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const text = `a file cannot be read: ${messageOf(cause)}`
    const remedy = 'Put the file there, and let the user of this process read it.'
    throw unusable(field, naming, { text, value: showValue(path), remedy }, cause)
  }
}
