/** The program `broker`. Compiled code is kept in the user's cache: the next start takes half the time. */
import { enableCompileCache } from "node:module"
import { homedir } from "node:os"
import { join } from "node:path"

enableCompileCache(join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "broker"))
await import("./cli/Program.ts")
