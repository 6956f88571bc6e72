#!/usr/bin/env node
// The image's entry point: the first word chooses what runs, in this very process, so that signals reach it.

const ENTRIES = {
  worker: 'services/worker/main.js',
  gateway: 'services/gateway/main.js',
  'demo producer': 'services/demo/send-flights.js',
  'demo subscriber': 'services/demo/count-answers.js',
}

const [first = '', second = ''] = process.argv.slice(2)
const words = [`${first} ${second}`, first].find((name) => name in ENTRIES)
const entry = ENTRIES[words] ?? 'services/cli/main.js'
if (words !== undefined) process.argv.splice(2, words.split(' ').length)
await import(new URL(`../../dist/${entry}`, import.meta.url).href)
