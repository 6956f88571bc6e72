import { expect, it } from 'vitest'
import { Agenda } from './agenda.ts'

it('what is to happen happens in order of its time, and what happens may add to it', () => {
  const agenda = new Agenda()
  const happened: string[] = []
  const note = (name: string) => () => void happened.push(`${name} at ${agenda.nowMs}`)
  agenda.at(20, note('last'))
  agenda.at(10, () => {
    note('first')()
    agenda.in(5, note('between'))
    agenda.at(3, note('too late'))
  })
  agenda.run()
  expect(happened).toEqual(['first at 10', 'too late at 10', 'between at 15', 'last at 20'])
})
