import { PeltonError, showValue } from '../../shared/sdk/errors.ts'

/**
 * The area under the ROC curve: the chance that a random positive scores above a random negative, a tie counting half.
 * Exact, by ranks, in O(n log n); 0.5 is guessing, 1 is perfect.
 * @throws PeltonError `invalid-argument` when lengths differ, a score is NaN, or one of the two classes is missing.
 */
export function areaUnderCurve(scores: readonly number[], labels: readonly boolean[]): number {
  checkInput(scores, labels)
  const order = scores.map((_score, index) => index).sort((a, b) => compare(scores[a], scores[b]))
  let positives = 0
  let negatives = 0
  let wins = 0
  for (let start = 0; start < order.length; ) {
    let end = start
    let tiedPositives = 0
    while (end < order.length && scores[order[end] ?? 0] === scores[order[start] ?? 0]) {
      if (labels[order[end] ?? 0]) tiedPositives += 1
      end += 1
    }
    const tiedNegatives = end - start - tiedPositives
    wins += tiedPositives * (negatives + tiedNegatives / 2)
    positives += tiedPositives
    negatives += tiedNegatives
    start = end
  }
  return wins / (positives * negatives)
}

/** Not a difference: two infinities of the same sign are equal. */
function compare(a = 0, b = 0): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function checkInput(scores: readonly number[], labels: readonly boolean[]): void {
  if (scores.length !== labels.length) {
    throw new PeltonError(
      'invalid-argument',
      `there are ${scores.length} scores for ${labels.length} labels`,
      {
        field: 'labels',
        remedy: 'Give one label for each score',
      },
    )
  }
  const nan = scores.findIndex((score) => Number.isNaN(score))
  if (nan >= 0) {
    throw new PeltonError('invalid-argument', 'a score is not a number', {
      field: `scores[${nan}]`,
      value: showValue('NaN'),
      remedy: 'Leave rows without a score out',
    })
  }
  if (labels.includes(true) && labels.includes(false)) return
  throw new PeltonError('invalid-argument', 'there is no curve with one class only', {
    field: 'labels',
    value: showValue(labels[0]),
    remedy: 'Give at least one positive and one negative label',
  })
}
