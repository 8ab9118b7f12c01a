/** Node, files, disk. */

import { constants, type Stats } from "node:fs"
import { access, stat, statfs } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Option } from "effect"
import { embeddedDirectory } from "../BrokerDatabase.ts"
import { keyFile } from "../EncryptionKey.ts"
import type { Reading, Values } from "../Settings.ts"
import { error, type Finding, ok, warning } from "./Finding.ts"

const oldestNode = 24

/** What runs us: the type stripping that the broker needs came with it. */
export const node: ReadonlyArray<Finding> = [
  Number(process.versions.node.split(".")[0]) >= oldestNode
    ? ok("node", process.version)
    : error(
        "node",
        `${process.version} is too old`,
        `Install Node ${oldestNode}, or start the broker by \`pnpm start\`.`
      )
]

const statOf = (path: string) => stat(path).catch(() => undefined)

/** The directory itself, or the one it would be made in. */
const nearestDirectory = async (path: string): Promise<string> =>
  (await statOf(path)) === undefined && dirname(path) !== path ? nearestDirectory(dirname(path)) : path

const mayWrite = (path: string) =>
  access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false
  )

/** Only an embedded database is kept there. */
export const dataDirectory = ({ databaseUrl, dataDir }: Values) =>
  Effect.promise(async () => {
    if (databaseUrl !== undefined) return []
    const path = resolve(dataDir)
    const found = await statOf(path)
    if (found !== undefined && !found.isDirectory()) {
      return [error("data directory", `${path} is not a directory`, "Remove it, or choose another with DATA_DIR.")]
    }
    const nearest = await nearestDirectory(path)
    if (!(await mayWrite(nearest))) {
      return [error("data directory", `${nearest} cannot be written`, "Give it to the user that runs the broker.")]
    }
    return [ok("data directory", found === undefined ? `${path}, made at the first start` : path)]
  })

const isOpenToOthers = ({ mode }: Stats) => process.platform !== "win32" && (mode & 0o077) !== 0

/** Files with secrets in them that other users of the machine can read. */
export const secretFiles = ({ file, sources, values }: Reading) =>
  Effect.promise(async () => {
    const fromFile = (
      ["databaseUrl", "encryptionKey", "previousEncryptionKeys", "metricsToken", "adminPassword"] as const
    ).filter((key) => sources[key] === "file")
    const configFile = fromFile.length > 0 ? Option.toArray(file) : []
    const password = values.databaseUrl === undefined ? [join(embeddedDirectory(values), "password")] : []
    const looked = await Promise.all(
      [...configFile, ...password, keyFile(values)].map(async (path) => ({ path, found: await statOf(path) }))
    )
    const open = looked.filter(({ found }) => found !== undefined && isOpenToOthers(found))
    if (open.length === 0) return [ok("secrets", "no file with secrets can be read by others")]
    return open.map(({ path }) => error("secrets", `${path} can be read by others`, `chmod 600 ${path}`))
  })

const gibibyte = 1024 ** 3
const tight = gibibyte
const critical = 100 * 1024 ** 2

/** Room where the broker writes: the embedded database, and the log. */
export const disk = ({ databaseUrl, dataDir, logFile }: Values) =>
  Effect.promise(async () => {
    const written = [
      ...(databaseUrl === undefined ? [dataDir] : []),
      ...(logFile === undefined ? [] : [dirname(logFile)])
    ]
    return Promise.all(
      written.map(async (path) => {
        const nearest = await nearestDirectory(resolve(path))
        const { bavail, bsize } = await statfs(nearest)
        const free = bavail * bsize
        const message = `${(free / gibibyte).toFixed(1)} GiB free in ${nearest}`
        const remedy = "Make room: a full disk stops the database."
        if (free < critical) return error("disk", message, remedy)
        return free < tight ? warning("disk", message, remedy) : ok("disk", message)
      })
    )
  })

const built = fileURLToPath(new URL("../../../admin/build/index.html", import.meta.url))

/** Without it the API works, and the dashboard says how to build it. */
export const dashboard = Effect.promise(async () => [
  (await statOf(built)) === undefined
    ? warning("dashboard", "it is not built", "pnpm build")
    : ok("dashboard", "it is built")
])
