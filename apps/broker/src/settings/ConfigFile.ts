/** `broker.yaml`: the settings that somebody wrote down, still as text. */
import { Array, Effect, FileSystem, Option, Order, Path, Predicate, Result } from "effect"
import { Yaml } from "effect/encoding"

export interface ConfigFile {
  /** As it was named, for messages. */
  readonly name: string
  readonly path: string
  /** What stands in it, by key. A list is its items with commas between them. */
  readonly values: ReadonlyMap<string, string>
  readonly problems: ReadonlyArray<string>
}

/** Read when no other file is named, if it exists. */
export const defaultName = "broker.yaml"

/** How many letters differ, by Levenshtein. */
const distance = (from: string, to: string) => {
  let above = Array.makeBy(to.length + 1, (at) => at) as ReadonlyArray<number>
  for (const [at, letter] of [...from].entries()) {
    let left = at + 1
    const row = [left]
    for (const [column, other] of [...to].entries()) {
      const [diagonal = 0, up = 0] = above.slice(column, column + 2)
      left = Math.min(diagonal + (letter === other ? 0 : 1), up + 1, left + 1)
      row.push(left)
    }
    above = row
  }
  return above.at(-1) ?? 0
}

/** Case and separators are what people get wrong first. */
const bare = (key: string) => key.toLowerCase().replace(/[^a-z0-9]/g, "")

/** The key that was probably meant, if one is near enough. */
export const nearest = (key: string, keys: ReadonlyArray<string>): Option.Option<string> => {
  const byDistance = keys.map((candidate) => ({ candidate, far: distance(bare(key), bare(candidate)) }))
  const [first] = Array.sort(
    byDistance,
    Order.mapInput(Order.Number, ({ far }: { readonly far: number }) => far)
  )
  if (first === undefined || first.far > Math.max(2, bare(key).length / 3)) return Option.none()
  return Option.some(first.candidate)
}

const isScalar = Predicate.or(Predicate.isString, Predicate.or(Predicate.isNumber, Predicate.isBoolean))

/** The text of a value; an empty one counts as left out, as an empty variable does. */
const textOf = (value: unknown): Option.Option<string> => {
  if (value === null) return Option.some("")
  if (isScalar(value)) return Option.some(String(value))
  if (globalThis.Array.isArray(value) && value.every(isScalar)) return Option.some(value.join(", "))
  return Option.none()
}

const unknownKey = (name: string, key: string, keys: ReadonlyArray<string>) =>
  Option.match(nearest(key, keys), {
    onNone: () => `${name} has "${key}", which is no setting. \`broker config\` lists them all.`,
    onSome: (meant) => `${name} has "${key}", which is no setting. Did you mean "${meant}"?`
  })

const parse = (text: string) => Result.try({ try: () => Yaml.parse(text), catch: String })

const contents = (name: string, text: string, keys: ReadonlyArray<string>): Omit<ConfigFile, "name" | "path"> => {
  const parsed = parse(text)
  if (Result.isFailure(parsed)) {
    return { values: new Map(), problems: [`${name} is not YAML: ${parsed.failure.replace(/^\w*Error: /, "")}`] }
  }
  const root = parsed.success ?? {}
  if (!Predicate.isObject(root) || globalThis.Array.isArray(root)) {
    return { values: new Map(), problems: [`${name} must be lines of "key: value".`] }
  }
  const values = new Map<string, string>()
  const problems: Array<string> = []
  for (const [key, value] of Object.entries(root)) {
    const text = textOf(value)
    if (!keys.includes(key)) problems.push(unknownKey(name, key, keys))
    else if (Option.isNone(text)) problems.push(`${key} in ${name} must be one value, or a list of values.`)
    else if (text.value !== "") values.set(key, text.value)
  }
  return { values, problems }
}

/** The file that was asked for, or the default one; none when there is no default one. */
export const read = Effect.fn("ConfigFile.read")(function* (asked: string | undefined, keys: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const name = asked ?? defaultName
  const file = { name, path: path.resolve(name) }
  if (asked === undefined && !(yield* fs.exists(file.path).pipe(Effect.orElseSucceed(() => false)))) {
    return Option.none<ConfigFile>()
  }
  const read = yield* Effect.result(fs.readFileString(file.path))
  return Option.some<ConfigFile>(
    Result.match(read, {
      onFailure: ({ message }) => ({ ...file, values: new Map(), problems: [`${name} cannot be read: ${message}`] }),
      onSuccess: (text) => ({ ...file, ...contents(name, text, keys) })
    })
  )
})
