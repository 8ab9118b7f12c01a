/** How clients find servers: what they ask, and what they are shown. Only available servers, whoever asks (C8). */
import { Schema, SchemaGetter } from "effect"
import { Model } from "effect/schema"
import { Page, PageLimit, Text } from "./Primitives.ts"
import { Location, Server, ServerId, ServerStatus, Tag } from "./Server.ts"

/** `50.11,8.68`: latitude and longitude in degrees. */
const Coordinates = Schema.String.check(
  Schema.isPattern(/^-?\d{1,2}(\.\d{1,12})?,-?\d{1,3}(\.\d{1,12})?$/u, {
    message: "must be latitude,longitude in degrees, such as 50.11,8.68, or me"
  })
).pipe(
  Schema.decodeTo(Location, {
    decode: SchemaGetter.transform((text) => {
      const [latitude = Number.NaN, longitude = Number.NaN] = text.split(",").map(Number)
      return { latitude, longitude }
    }),
    encode: SchemaGetter.transform(({ latitude, longitude }) => `${latitude},${longitude}`)
  })
)

/** A point on the globe, or wherever the request came from, as far as that is known. */
export const Place = Schema.Union([Schema.Literal("me"), Coordinates, Location])
export type Place = typeof Place.Type

/** What servers are sorted by; a minus turns it round. Ties go by id, so that pages are stable. */
export const DiscoverySort = Schema.Literals(["name", "-name", "load", "-load", "lastSeen", "-lastSeen", "nearest"])
export type DiscoverySort = typeof DiscoverySort.Type

const CapabilityName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9_.-]{0,31}$/u, { message: "must be a capability's name, such as vpn" })
)

const LabelPair = Text(192).check(
  Schema.isPattern(/^[A-Za-z][A-Za-z0-9_./-]{0,62}:/u, { message: "must be a label as key:value" })
)

const several = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.ArrayEnsure(schema))

/** Which servers: all that is given has to hold. In a query what may be repeated is repeated; in JSON it is an array. */
export const Criteria = Schema.Struct({
  /** Any of them. Only `online`, `degraded` and `unknown` servers are ever available (H6). */
  status: several(ServerStatus),
  /** In this group or below it, by path or id. */
  group: Schema.optionalKey(Text(1_024)),
  /** All of them. */
  tag: several(Tag),
  /** All of them, each as `key:value`. */
  label: several(LabelPair),
  /** All of them. */
  capability: several(CapabilityName),
  /** Part of a name. */
  q: Schema.optionalKey(Text(128)),
  /** This version or a later one. A pre-release comes before its release; servers without a version never fit. */
  minVersion: Schema.optionalKey(
    Text(64).check(
      Schema.isPattern(/^v?\d{1,9}(\.\d{1,9}){0,3}([-+].*)?$/u, {
        message: "must be a version such as 1.4 or 1.4.0-rc.1"
      })
    )
  ),
  near: Schema.optionalKey(Place),
  /** By distance where `near` is given, otherwise by name; a choice of one server goes by load. */
  sort: Schema.optionalKey(DiscoverySort)
}).annotate({ title: "Criteria" })
export type Criteria = typeof Criteria.Type

/** Criteria, and which page of the servers that fit. */
export const DiscoveryQuery = Schema.Struct({
  ...Criteria.fields,
  limit: Schema.optionalKey(PageLimit),
  cursor: Schema.optionalKey(Text(1_024))
})
export type DiscoveryQuery = typeof DiscoveryQuery.Type

/** A server as clients are shown it. */
export class DiscoveredServer extends Model.Class<DiscoveredServer>("DiscoveredServer")({
  ...Model.fields(Server),
  /** How much of its limit of connections is in use, from 0 to 1. */
  load: Schema.Finite,
  /** To the place that was asked about; null where either is unknown. */
  distanceKm: Schema.NullOr(Schema.Finite)
}) {}

export const DiscoveryPage = Page(DiscoveredServer.json)
export type DiscoveryPage = { readonly items: ReadonlyArray<DiscoveredServer>; readonly nextCursor: string | null }

/** Why the broker chose this server. */
export const Explanation = Schema.Struct({
  sort: DiscoverySort,
  load: Schema.Finite,
  distanceKm: Schema.NullOr(Schema.Finite),
  /** Better ones that filled up, or went away, in that very moment. */
  passedOver: Schema.Array(Schema.Struct({ id: ServerId, name: Schema.String, reason: Schema.String }))
}).annotate({ title: "Explanation" })
export type Explanation = typeof Explanation.Type
