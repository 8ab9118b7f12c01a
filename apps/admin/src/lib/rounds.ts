/** Does something again and again. The next round begins only after the last one has ended, however long that takes. */
export const rounds = (every: number, work: () => Promise<void> | undefined) => {
  let stopped = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const round = async () => {
    await work()
    if (!stopped) wait()
  }
  const wait = () => {
    timer = setTimeout(() => void round(), every)
  }
  wait()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
