/** Scalars more than one noun shares. A scalar with one owner lives with it. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { Problem } from "./Problem.ts"

/** PostgreSQL refuses U+0000 in text, and half a surrogate pair is not text at all. */
export const isWellFormedText = Schema.makeFilter<string>(
  (text) => (text.isWellFormed() && !text.includes("\u0000")) || "must be well-formed text without U+0000"
)

/** Text of at most `max` UTF-16 code units, of the kind PostgreSQL can store. */
export const Text = (max: number) => Schema.String.check(Schema.isMaxLength(max), isWellFormedText)

/** A whole number of things, within a Postgres `integer`. */
export const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_147_483_647 }))

/** An id of any noun: a UUID in lower case, version 7 where the broker mints it. */
export const Uuid = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u, {
    message: "must be a UUID in lower case"
  })
)

/** How the last character of base64url text ends when that many bits of it carry nothing. */
const lastCharacter = { 0: "[A-Za-z0-9_-]", 2: "[AEIMQUYcgkosw048]", 4: "[AQgw]" } as const

/** Exactly so many bytes as unpadded base64url, in its one canonical spelling. */
export const Base64UrlBytes = (bytes: number) => {
  const length = Math.ceil((bytes * 4) / 3)
  const spare = (length * 6 - bytes * 8) as 0 | 2 | 4
  return Schema.String.check(
    Schema.isPattern(new RegExp(`^[A-Za-z0-9_-]{${length - 1}}${lastCharacter[spare]}$`, "u"), {
      message: `must be ${bytes} bytes as base64url without padding (${length} characters)`
    })
  )
}

/** Base64url on our side, `bytea` on PostgreSQL's. */
export const Base64UrlFromBytes = Schema.flip(Schema.Uint8ArrayFromBase64Url)

/** An RFC 3339 time with its zone, kept as it was written, because signatures cover the text. */
export const Timestamp = Schema.String.check(
  Schema.isPattern(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/u, {
    message: "must be an RFC 3339 time such as 2026-11-22T10:00:00Z"
  }),
  Schema.makeFilter((text) => !Number.isNaN(Date.parse(text)) || "must be a time that exists")
)

/** A moment that somebody asks about. Whatever is less than a time with its zone may mean another one elsewhere. */
export const Moment = Timestamp.pipe(Schema.decodeTo(Schema.DateTimeUtcFromString))

/** An instant: `timestamptz` in SQL, RFC 3339 in UTC on the wire. */
export const Instant = Model.Field({
  select: Schema.DateTimeUtcFromDate,
  insert: Schema.DateTimeUtcFromDate,
  json: Schema.DateTimeUtcFromString
})

/** An instant that may not have come yet, and that the broker alone moves. */
export const MaybeInstant = Model.Field({
  select: Schema.NullOr(Schema.DateTimeUtcFromDate),
  json: Schema.NullOr(Schema.DateTimeUtcFromString)
})

/** A value kept as `jsonb`: PostgreSQL takes its text, and gives it back parsed. */
export const Jsonb = <S extends Schema.Top>(schema: S) =>
  Model.Field({ select: schema, insert: Schema.fromJsonString(schema), json: schema })

/** A page of a list: at most `limit` items, and the cursor of the next page where there is one. */
export const Page = <Item extends Schema.Top>(item: Item) => {
  const title = Schema.resolveAnnotations(item)?.["title"]
  const page = Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })
  return typeof title === "string" ? page.annotate({ title: `${title.replace(".json", "")}Page` }) : page
}

/** How many items a page has: 1 to 200, 50 unless asked otherwise. */
export const PageLimit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 }))

export class InvalidCursor extends Problem<InvalidCursor>()("InvalidCursor", {
  code: "invalid_cursor",
  status: 400,
  title: "Invalid cursor",
  detail: "The cursor is not one that this list gave out.",
  remedy: "Start again without a cursor, and pass on nextCursor unchanged."
}) {}
