/** Kinds of settings: how a value is written, what is allowed, and what the program gets. */
import { ByteSize, Duration, Effect, Option, Redacted, Result, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { IpNetwork } from "effect/net"
import { isLoopback } from "../Loopback.ts"

export interface Kind<A> {
  /** From the text of a flag, a variable or a file, and back to its shortest spelling. */
  readonly schema: Schema.Codec<A, string>
  /** Ends the sentence "It must be …". */
  readonly allowed: string
  /** Whether a list in the file is taken as well as text with commas. */
  readonly list?: boolean
}

/** A schema from two functions; `decode` says none to what is not allowed. */
const written = <A>(
  target: Schema.Codec<A>,
  decode: (text: string) => Option.Option<A>,
  encode: (value: A) => string
) =>
  Schema.String.pipe(
    Schema.decodeTo(
      target,
      SchemaTransformation.transformEffect({
        decode: (text: string, options) =>
          Option.match(decode(text), {
            onNone: () => Effect.fail(new SchemaIssue.InvalidValue(undefined, text, options)),
            onSome: Effect.succeed
          }),
        encode: (value: A) => Effect.succeed(encode(value))
      })
    )
  )

export const integer = (minimum: number, maximum: number): Kind<number> => ({
  schema: written(
    Schema.Int.check(Schema.isBetween({ minimum, maximum })),
    (text) => (/^\d{1,10}$/.test(text) ? Option.some(Number(text)) : Option.none()),
    String
  ),
  allowed: `a whole number from ${minimum} to ${maximum}`
})

const units = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const

const parseDuration = (text: string) => {
  const match = /^(\d{1,9})\s*(ms|s|m|h|d|w)$/.exec(text)
  if (match === null) return text === "0" ? Option.some(Duration.zero) : Option.none()
  return Option.some(Duration.millis(Number(match[1]) * units[match[2] as keyof typeof units]))
}

/** The largest unit that leaves no rest: 90 s, not 1.5 m. */
export const formatDuration = (duration: Duration.Duration) => {
  const millis = Duration.toMillis(duration)
  const unit = Object.entries(units).find(([name, size]) => name !== "w" && millis >= size && millis % size === 0)
  return unit === undefined ? "0" : `${millis / unit[1]}${unit[0]}`
}

/** `30s`, `5m`, `12h`, `7d`, `2w`, `250ms`, and `0`. */
export const DurationText = written(Schema.Duration, parseDuration, formatDuration)

export const duration = (minimum: Duration.Input, maximum: Duration.Input): Kind<Duration.Duration> => {
  const [least, most] = [Duration.fromInputUnsafe(minimum), Duration.fromInputUnsafe(maximum)]
  return {
    schema: DurationText.check(
      Schema.makeFilter((value) => Duration.between(value, { minimum: least, maximum: most }) || "out of range")
    ),
    allowed: `a time from ${formatDuration(least)} to ${formatDuration(most)}, such as 250ms, 30s, 5m, 12h or 7d`
  }
}

/** An age that a log is cut at: what divides a day, or whole days, so that files start at even times. */
export const rotationAge: Kind<Duration.Duration> = {
  schema: DurationText.check(
    Schema.makeFilter((value) => {
      const millis = Duration.toMillis(value)
      const divides = (unit: number, whole: number) => millis % unit === 0 && whole % (millis / unit) === 0
      return (
        (millis > 0 && millis <= 365 * units.d && millis % units.d === 0) ||
        divides(units.h, 24) ||
        divides(units.m, 60) ||
        "does not divide a day"
      )
    })
  ),
  allowed: "whole days such as 1d or 7d, hours that divide a day such as 6h, or minutes that divide an hour such as 15m"
}

const byteUnits = [
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
  ["B", 1]
] as const

const formatBytes = (bytes: number) => {
  const [name, size] = byteUnits.find(([, size]) => bytes >= size && bytes % size === 0) ?? byteUnits[3]
  return `${bytes / size} ${name}`
}

export const bytes = (minimum: number, maximum: number): Kind<number> => ({
  schema: written(
    Schema.Int.check(Schema.isBetween({ minimum, maximum })),
    (text) => Option.flatMap(ByteSize.fromString(text), ByteSize.toNumber),
    formatBytes
  ),
  allowed: `a size from ${formatBytes(minimum)} to ${formatBytes(maximum)} with its unit, such as 500 kB or 10 MiB`
})

/** One of some words, in any case. */
export const choice = <const Words extends ReadonlyArray<string>>(words: Words): Kind<Words[number]> => ({
  schema: written<Words[number]>(
    Schema.Literals(words),
    (text) => Option.fromUndefinedOr(words.find((word) => word === text.toLowerCase())),
    (word) => word
  ),
  allowed: `one of ${words.join(", ")}`
})

/** Text as it is, of at least one character. */
export const text = (allowed: string): Kind<string> => ({
  schema: Schema.String.check(Schema.isBetweenLength(1, 4096), Schema.isPattern(/^[^\0\r\n]*$/)),
  allowed
})

/** A secret of some schema: never shown, not even in the message that it is wrong. */
export const secret = (schema: Schema.Codec<string>, allowed: string): Kind<Redacted.Redacted> => ({
  schema: Schema.RedactedFromValue(schema, { label: "secret" }),
  allowed
})

/** An encryption key by its text: base64 as well as base64url, which programs that draw random bytes print. */
export const parseEncryptionKey = (text: string): Option.Option<Uint8Array> => {
  const bytes = Buffer.from(text, "base64url")
  return /^[A-Za-z0-9_+/-]{43}=?$/.test(text) && bytes.byteLength === 32
    ? Option.some(new Uint8Array(bytes))
    : Option.none()
}

export const formatEncryptionKey = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url")

export const encryptionKey: Kind<Redacted.Redacted<Uint8Array>> = {
  schema: Schema.RedactedFromValue(written(Schema.Uint8Array, parseEncryptionKey, formatEncryptionKey), {
    label: "secret"
  }),
  allowed: "32 random bytes in base64 or base64url, such as `broker encryption generate` prints"
}

/** Several of them; redacted as one, so that nothing that shows lists shows what is in it. */
export const encryptionKeys: Kind<Redacted.Redacted<ReadonlyArray<Uint8Array>>> = {
  schema: Schema.RedactedFromValue(
    written(
      Schema.Array(Schema.Uint8Array),
      (text) =>
        Option.all(
          text
            .split(",")
            .map((part) => part.trim())
            .filter((part) => part !== "")
            .map(parseEncryptionKey)
        ),
      (keys) => keys.map(formatEncryptionKey).join(", ")
    ),
    { label: "secret" }
  ),
  allowed: "encryption keys with commas between them",
  list: true
}

/** Text that another module has a schema for. */
export const of = <A extends string>(schema: Schema.Codec<A, string>, allowed: string): Kind<A> => ({ schema, allowed })

/** Where a web site lives, and nothing more: what signatures name as the audience. */
export const origin: Kind<string> = {
  schema: written(
    Schema.String,
    (text) => {
      const url = URL.parse(text)
      const isOrigin =
        url !== null &&
        (url.protocol === "https:" || url.protocol === "http:") &&
        `${url.username}${url.password}${url.search}${url.hash}` === "" &&
        url.pathname === "/"
      return isOrigin ? Option.some(url.origin) : Option.none()
    },
    (origin) => origin
  ),
  allowed: "an http or https address without a path, such as https://broker.example.com"
}

/** Where an identity provider's documents lie. Without https whoever stands between could say who signs in. */
export const issuer: Kind<string> = {
  schema: Schema.String.check(
    Schema.makeFilter((text) => {
      const url = URL.parse(text)
      const isIssuer =
        url !== null &&
        (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))) &&
        `${url.username}${url.password}${url.search}${url.hash}` === ""
      return isIssuer || "not an issuer"
    })
  ),
  allowed: "an https address such as https://login.example.com/realms/main; http is for this machine alone"
}

export const postgresUrl: Kind<Redacted.Redacted> = {
  schema: Schema.RedactedFromValue(
    Schema.String.check(
      Schema.makeFilter((text) => {
        const url = URL.parse(text)
        const isPostgres = url?.protocol === "postgres:" || url?.protocol === "postgresql:"
        return (isPostgres && url.pathname.length > 1) || "not a PostgreSQL address"
      })
    ),
    { label: "database" }
  ),
  allowed: "an address such as postgres://user:password@host:5432/database"
}

export const redisUrl: Kind<Redacted.Redacted> = {
  schema: Schema.RedactedFromValue(
    Schema.String.check(
      Schema.makeFilter((text) => {
        const url = URL.parse(text)
        const isRedis = url?.protocol === "redis:" || url?.protocol === "rediss:"
        return (isRedis && url.hostname !== "") || "not a Redis address"
      })
    ),
    { label: "redis" }
  ),
  allowed: "an address such as redis://:password@host:6379, or rediss:// over TLS"
}

export const smtpUrl: Kind<Redacted.Redacted> = {
  schema: Schema.RedactedFromValue(
    Schema.String.check(
      Schema.makeFilter((text) => {
        const url = URL.parse(text)
        const isSmtp = url?.protocol === "smtp:" || url?.protocol === "smtps:"
        return (isSmtp && url.hostname !== "") || "not a mail server's address"
      })
    ),
    { label: "smtp" }
  ),
  allowed: "an address such as smtp://user:password@host:587, or smtps:// over TLS from the start"
}

/** `ada@example.com`, or with a name before it in angle brackets. */
export const mailbox: Kind<string> = {
  schema: Schema.String.check(
    Schema.isMaxLength(256),
    Schema.isPattern(/^([^\p{C}<>@,;"]+ <[^\s@<>,;"]+@[^\s@<>,;"]+>|[^\s@<>,;"]+@[^\s@<>,;"]+)$/u)
  ),
  allowed: "an address such as broker@example.com, or Broker <broker@example.com>"
}

/** An address of PostgreSQL, Redis or a mail server without its password, wherever that stands in it. */
export const withoutPassword = (url: Redacted.Redacted) => {
  const shown = URL.parse(Redacted.value(url))
  if (shown === null) return "<redacted>"
  if (shown.password !== "") shown.password = "redacted"
  if (shown.searchParams.has("password")) shown.searchParams.set("password", "redacted")
  return shown.href
}

const parseNetwork = (text: string) => {
  const network = text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`
  return Result.getSuccess(IpNetwork.fromString(network))
}

export const networks: Kind<ReadonlyArray<IpNetwork.IpNetwork>> = {
  schema: written(
    Schema.Array(Schema.declare(IpNetwork.isIpNetwork)),
    (text) => Option.all(text.split(",").flatMap((part) => (part.trim() === "" ? [] : [parseNetwork(part.trim())]))),
    (networks) => networks.map(IpNetwork.format).join(", ")
  ),
  allowed: "addresses and networks with commas between them, such as 10.0.0.0/8, 192.0.2.7, fd00::/8",
  list: true
}
