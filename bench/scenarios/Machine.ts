/** What processes take of the machine, from /proc; null on machines that have none. */
import { readdirSync, readFileSync } from "node:fs"
import { arch, cpus, platform, totalmem } from "node:os"

/** Of a second, as Linux has them everywhere. */
const tick = 1 / 100

interface Stat {
  readonly parent: number
  readonly own: number
  /** Of its children that are over. */
  readonly children: number
}

const statOf = (pid: number): Stat | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name before may hold anything, also parentheses.
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number)
    const [, parent = 0] = fields
    const [own = 0, system = 0, children = 0, childrenSystem = 0] = fields.slice(11, 15)
    return { parent, own: (own + system) * tick, children: (children + childrenSystem) * tick }
  } catch {
    return undefined
  }
}

/** Whose child a process is; 0 where the machine does not tell. */
export const parentOf = (pid: number) => statOf(pid)?.parent ?? 0

/** Seconds of a processor that a process took so far. */
export const cpuOf = (pid: number) => statOf(pid)?.own ?? null

/** The same of a process and all of its children, also those that are over. */
export const cpuOfFamily = (pid: number) => {
  const self = statOf(pid)
  if (self === undefined) return null
  const others = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? [])
  return others.reduce((sum, { own, parent }) => (parent === pid ? sum + own : sum), self.own + self.children)
}

export const megabytesOf = (pid: number) => {
  try {
    const [, kilobytes = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
    return Number(kilobytes) / 1_024
  } catch {
    return null
  }
}

export const machine = () => ({
  processors: cpus().length,
  model: `${cpus()[0]?.model ?? arch()} (${platform()})`,
  gigabytes: Math.round(totalmem() / 2 ** 30),
  node: process.version
})
