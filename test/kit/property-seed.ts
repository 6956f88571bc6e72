import { configureGlobal } from 'fast-check'

// CI repeats: the same change gives the same answer twice. Everywhere else each run explores further.
if (process.env.CI !== undefined) configureGlobal({ seed: 20_010_630 })
