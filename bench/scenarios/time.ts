import { setTimeout as sleep } from "node:timers/promises"

/** Waits for a moment of `performance.now()`. */
export const until = async (moment: number) => {
  const wait = moment - performance.now()
  if (wait > 0) await sleep(wait)
}

/** Asks at an even pace, whether it is answered or not, until it is over. */
export const atPace = async (perSecond: number, end: number, one: (due: number, n: number) => Promise<void>) => {
  const open: Array<Promise<void>> = []
  let due = performance.now()
  for (let n = 0; due < end; n++) {
    await until(due)
    open.push(one(due, n))
    due += 1_000 / perSecond
  }
  await Promise.all(open)
}

/** So many at a time, each as soon as the one before is done. */
export const atOnce = (workers: number, one: (n: number) => Promise<boolean>) => {
  let n = 0
  return Promise.all(
    Array.from({ length: workers }, async () => {
      while (await one(n++));
    })
  )
}
