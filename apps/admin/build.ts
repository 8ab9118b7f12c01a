/**
 * Builds the dashboard if anything it is made of has changed, and does nothing in a few milliseconds if not.
 *
 * The stamp in `build/` holds a digest of the inputs. Files are told apart by size and time of change first; only when
 * those differ are they read.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(fileURLToPath(import.meta.url))
const stamp = join(root, "build", ".stamp")

const inputs = [
  "src",
  "static",
  "package.json",
  "tsconfig.json",
  "vite.config.ts",
  "build.ts",
  "../../packages/domain/src",
  "../../packages/domain/package.json",
  "../../pnpm-lock.yaml"
]

const filesOf = (path: string): ReadonlyArray<string> =>
  statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .toSorted()
    : [path]

const files = inputs.flatMap((input) => filesOf(join(root, input)))

const looks = () => {
  const hash = createHash("sha256")
  for (const file of files) {
    const { mtimeMs, size } = statSync(file)
    hash.update(`${relative(root, file)}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest("hex")
}

const contents = () => {
  const hash = createHash("sha256")
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update("\0")
  return hash.digest("hex")
}

/** What the last build was made of; nothing if there was none, or if it did not finish. */
const built = () => {
  try {
    statSync(join(root, "build", "index.html"))
    const [look, content] = readFileSync(stamp, "utf8").split("\n")
    return { look, content }
  } catch {
    return undefined
  }
}

const vite = () =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    const bin = join(root, "node_modules", "vite", "bin", "vite.js")
    const child = spawn(process.execPath, [bin, "build", "--logLevel", "warn"], { cwd: root })
    let output = ""
    const keep = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    child.on("error", (error) => resolve({ code: 1, output: String(error) }))
    child.on("close", (code) => resolve({ code: code ?? 1, output }))
  })

const build = async (look: string, content: string) => {
  const started = Date.now()
  process.stdout.write("Building the dashboard… ")
  const { code, output } = await vite()
  if (code !== 0) {
    process.stdout.write("failed\n")
    process.stderr.write(output)
    process.exitCode = code
    return
  }
  writeFileSync(stamp, `${look}\n${content}\n`)
  process.stdout.write(`done in ${((Date.now() - started) / 1_000).toFixed(1)} s\n`)
}

const last = built()
const look = looks()
if (last === undefined || last.look !== look) {
  const content = contents()
  if (last?.content === content) writeFileSync(stamp, `${look}\n${content}\n`)
  else await build(look, content)
}
