/** Metrics that the dashboard understands; servers may send others beside them. */

type Metrics = Readonly<Record<string, number>>

export const cpuShare = (metrics: Metrics) => metrics["cpu"]

/** The part of the memory that is in use, where the server tells both numbers. */
export const memoryShare = (metrics: Metrics) => {
  const used = metrics["memoryUsedBytes"]
  const total = metrics["memoryTotalBytes"]
  return used === undefined || total === undefined || total <= 0 ? undefined : used / total
}
