/** The program `broker`. Compiled code is kept in the user's cache: the next start takes half the time. */
import { enableCompileCache } from "node:module"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"

/** Undefined for a user without a home, as a container's may be: it then starts a little slower, and runs as well. */
const cache = () => {
  const named = process.env["XDG_CACHE_HOME"] ?? ""
  if (isAbsolute(named)) return named
  try {
    const home = homedir()
    return isAbsolute(home) ? join(home, ".cache") : undefined
  } catch {
    return undefined
  }
}

const directory = cache()
if (directory !== undefined) enableCompileCache(join(directory, "broker"))
await import("./cli/Program.ts")
