/**
 * The statements that find servers, in two ways that hold to their plan whatever the planner thinks of the other one:
 * in the order of the list until a page is full (`walk`), and by the filters (`seek`). Few servers are sought; many are
 * walked to, and sought when the walk takes too long, as it does where all that fit stand far behind.
 */
import { type Criteria, DiscoveredServer } from "@broker/domain/Discovery"
import { OrganizationId } from "@broker/domain/Organization"
import { type Location, nameKey, ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { Position } from "../Cursor.ts"
import * as GroupsSql from "../groups/GroupsSql.ts"

/** A server, and the text that a cursor says where it stands by. */
interface Found {
  readonly server: DiscoveredServer
  readonly sortKey: string
}

type Row = { readonly sortKey: string }

/**
 * What a list goes by, ties by id. Servers without a place have no distance: they make up a list of their own, behind
 * all that have one (G2).
 */
export type Order = "name" | "load" | "lastSeen" | "distance" | "placeless"

/** What is looked for, with all that was left open decided. */
export interface Search {
  readonly organizationId: string
  readonly criteria: Criteria
  readonly order: Order
  readonly descending: boolean
  /** Where distances are counted from. */
  readonly place: typeof Location.Type | null
  readonly after: Position | null
  /** How many servers at most. */
  readonly count: number
  /** Only those that have room for one more connection. */
  readonly withRoom: boolean
  /** The groups that the criteria name: theirs and all below it. Looked up where they are left out. */
  readonly groups?: ReadonlyArray<string>
}

/** How many servers are looked at in the order of the list for each one that is wanted, before the filters lead. */
const patience = 80

/** So many servers are sorted sooner than as many are found in the order of the list. */
const few = { name: 2_000, load: 2_000, distance: 3_000, placeless: 2_000, lastSeen: 5_000 }

/** What `explain (format json)` answers. */
const decodePlans = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Tuple([Schema.Struct({ Plan: Schema.Struct({ "Plan Rows": Schema.Finite }) })])])
)

const types = {
  name: "text",
  load: "double precision",
  lastSeen: "timestamptz",
  distance: "double precision",
  placeless: "double precision"
} as const

const everything = {
  criteria: {},
  order: "name",
  descending: false,
  place: null,
  after: null,
  count: 1,
  withRoom: false
} as const

/** Finds any part of a text, taken literally. */
const containing = (text: string) => `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`

/** A list of ids whose length PostgreSQL sees. */
const uuids = (ids: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...ids], PgTypes.OID.uuid))

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const groupsSql = yield* GroupsSql.make

  /** In the very words of the indexes: `s` can be found, if it is heard. */
  const discoverable = (organizationId: string) =>
    sql`s.organization_id = ${organizationId} and s.admission = 'approved' and s.verified and s.duty = 'serving'`

  /** `p` is heard, or held by the fleet guard (H6); of available servers, that is their status. */
  const heard = ({ status }: Criteria) => {
    const wanted = (["online", "degraded", "unknown"] as const).filter(
      (one) => status === undefined || status.includes(one)
    )
    return wanted.length === 0 ? sql`false` : sql.in("p.liveness", wanted)
  }

  /** What an index knows `s` by. */
  const filters = ({ criteria, groups }: Search) => {
    const { capability = [], group, label = [], minVersion, q, tag = [] } = criteria
    const facets = [
      ...tag.map((one) => `tag:${one}`),
      ...label.map((one) => `label:${one}`),
      ...capability.map((one) => `capability:${one}`)
    ]
    const text = nameKey(q ?? "")
    return [
      ...(facets.length === 0 ? [] : [sql`s.facets @> ${facets}::text[]`]),
      ...(text === "" ? [] : [sql`s.name_key like ${containing(text)}`]),
      ...(minVersion === undefined ? [] : [sql`s.version_key >= version_key(${minVersion}::text)`]),
      ...(group === undefined ? [] : [sql`s.group_id = any (${uuids(groups ?? [])})`])
    ]
  }

  const globe = ({ latitude, longitude }: typeof Location.Type) =>
    sql`place_on_globe(${latitude}::double precision, ${longitude}::double precision)`

  const distance = ({ place }: Search) =>
    place === null ? sql`null::double precision` : sql`s.place <-> ${globe(place)}`

  /** The expression that a list goes by. */
  const column = (search: Search): Fragment =>
    ({
      name: () => sql`s.name_key`,
      load: () => sql`l.load`,
      lastSeen: () => sql`p.last_seen_at`,
      distance: () => distance(search),
      placeless: () => sql`'Infinity'::double precision`
    })[search.order]()

  const direction = ({ descending }: Search) =>
    descending
      ? { compare: sql.literal("<"), order: sql.literal("desc") }
      : { compare: sql.literal(">"), order: sql.literal("asc") }

  /** What stands behind the cursor. */
  const behind = (search: Search, key: Fragment, id: string): ReadonlyArray<Fragment> => {
    const { after, order } = search
    if (after === null) return []
    const { compare } = direction(search)
    const value = sql`${after[0]}::text::${sql.literal(types[order])}`
    return [sql`(${key}, ${sql.literal(id)}) ${compare} (${value}, ${after[1]}::uuid)`]
  }

  /** Which part of the servers a list is about. */
  const part = ({ order }: Search): ReadonlyArray<Fragment> =>
    order === "distance" ? [sql`s.place is not null`] : order === "placeless" ? [sql`s.place is null`] : []

  /** Where nobody asks about loads, nobody looks them up. */
  const withLoad = ({ withRoom }: Search) => (withRoom ? sql`join server_loads l on l.server_id = s.id` : sql``)

  const room = ({ withRoom }: Search): ReadonlyArray<Fragment> => (withRoom ? [sql`l.live < l.connection_limit`] : [])

  /** The servers of `hit (id, key)` as clients are shown them, in the order of the list. */
  const show = (search: Search, hits: Fragment) => {
    const { order } = direction(search)
    // Unprepared: plans are made for the values at hand.
    return sql<Row>`
        with hit as materialized (${hits})
        select s.id, s.organization_id, s.name, s.admission, p.liveness, s.duty, s.verified, s.public_key, s.version,
               s.endpoints, s.capabilities, merge_tags(s.tags, s.assigned_tags) as tags,
               s.labels || s.assigned_labels as labels, g.path as "group", s.location, s.public_address,
               s.registration_key_id, s.registered_at, p.last_seen_at, l.load,
               -- The way around the earth, by its mean radius, above the straight line between the two.
               round((2 * 6371.0088 * atan2(chord / 2, sqrt(greatest(0, 1 - (chord / 2) ^ 2))))::numeric, 1)::double precision as distance_km,
               ${
                 search.order === "lastSeen"
                   ? sql`to_char(hit.key at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
                   : sql`hit.key::text`
               } as sort_key
          from hit
          join servers s on s.id = hit.id
          join server_presence p on p.server_id = hit.id
          join server_loads l on l.server_id = hit.id
          left join groups g on g.id = s.group_id
          cross join lateral (select ${distance(search)} as chord) as straight
      order by hit.key ${order}, hit.id ${order}`
  }

  /**
   * The next servers in the order of the list, fitting or not, by the index that has that order; with what tells
   * whether they fit, so that each is looked up as rarely as possible.
   */
  const inOrder = (search: Search): Fragment => {
    const { organizationId } = search
    const { order } = direction(search)
    const key = column(search)
    const bound = sql.literal(`${patience * search.count}`)
    switch (search.order) {
      case "load":
        return sql`
          (select l.server_id, l.load as key, l.live, l.connection_limit
             from server_loads l
            where ${sql.and([sql`l.organization_id = ${organizationId}`, ...behind(search, key, "l.server_id")])}
         order by l.load ${order}, l.server_id ${order}
            limit ${bound}) as l
             join servers s on s.id = l.server_id
             join server_presence p on p.server_id = l.server_id`
      case "lastSeen":
        // No index has this order, as it changes with every heartbeat: one look at all presences, and a short sort.
        return sql`
          (select p.server_id, p.last_seen_at as key, p.liveness
             from server_presence p
            where ${sql.and([heard(search.criteria), ...behind(search, key, "p.server_id")])}
         order by p.last_seen_at ${order}, p.server_id ${order}
            limit ${bound}) as p
             join servers s on s.id = p.server_id
             ${withLoad(search)}`
      default:
        return sql`
          (select s.id, ${key} as key, s.organization_id, s.admission, s.verified, s.duty, s.facets, s.name_key,
                  s.version_key, s.group_id
             from servers s
            where ${sql.and([discoverable(organizationId), ...part(search), ...behind(search, key, "s.id")])}
         order by ${key} ${order}, s.id ${order}
            limit ${bound}) as s
             join server_presence p on p.server_id = s.id
             ${withLoad(search)}`
    }
  }

  /** The row of the walk that has the key. */
  const walker = ({ order }: Search) => sql.literal(order === "load" ? "l" : order === "lastSeen" ? "p" : "s")

  /** Those of the next servers in the order of the list that fit, as many as are wanted, if there are so many. */
  const walk = (search: Search) => {
    const { criteria, organizationId } = search
    const { order } = direction(search)
    return show(
      search,
      sql`
          select s.id, ${walker(search)}.key
            from ${inOrder(search)}
           where ${sql.and([discoverable(organizationId), heard(criteria), ...filters(search), ...room(search)])}
        order by ${walker(search)}.key ${order}, s.id ${order}
           limit ${sql.literal(`${search.count}`)}`
    )
  }

  /** The servers that the filters let through, heard or not. */
  const fitting = (search: Search) => sql`
    select s.id, s.name_key, s.place
      from servers s
     where ${sql.and([discoverable(search.organizationId), ...part(search), ...filters(search)])}`

  /**
   * The same by way of the filters: all servers that they let through are sorted, and then looked at one after the
   * other. The planner is kept from walking in the order of the list, where `walk` has just been.
   */
  const seek = (search: Search) => {
    const { criteria, order: by } = search
    const { order } = direction(search)
    const key = column(search)
    const fence = sql.literal(filters(search).length === 0 ? "" : "offset 0")
    // One look-up for each, where the planner would rather read the whole table.
    const source =
      by === "load"
        ? sql`join lateral (select load from server_loads where server_id = s.id limit 1) as l on true`
        : by === "lastSeen"
          ? sql`join lateral (select last_seen_at from server_presence where server_id = s.id limit 1) as p on true`
          : sql``
    return show(
      search,
      sql`
          select s.id, s.key
            from (select s.id, ${key} as key
                    from (${fitting(search)} ${fence}) as s
                    ${source}
                   where ${sql.and([sql`true`, ...behind(search, key, "s.id")])}
                order by ${key} ${order}, s.id ${order} ${fence}) as s
            join server_presence p on p.server_id = s.id
            ${withLoad(search)}
           where ${sql.and([heard(criteria), ...room(search)])}
        order by s.key ${order}, s.id ${order}
           limit ${sql.literal(`${search.count}`)}`
    )
  }

  /**
   * How many servers the filters let through, as far as PostgreSQL knows from its statistics: it is asked for a plan,
   * and runs nothing. A wrong guess costs time, and changes no answer.
   */
  const guess = Effect.fnUntraced(function* (search: Search) {
    const rows = yield* sql<Record<string, unknown>>`explain (format json) ${fitting(search)}`.unprepared
    const [[{ Plan }]] = yield* decodePlans(rows.flatMap(Object.values))
    return Plan["Plan Rows"]
  })

  const decode = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>) {
    const servers = yield* Schema.decodeUnknownEffect(Schema.Array(DiscoveredServer))(rows)
    return servers.map((server, at): Found => ({ server, sortKey: rows[at]?.sortKey ?? "" }))
  })

  /** The search with the groups that it is about: their number, for whoever plans it. */
  const inGroups = Effect.fnUntraced(function* (search: Search) {
    const { criteria, organizationId } = search
    if (criteria.group === undefined || search.groups !== undefined) return search
    const groups = yield* groupsSql.below({ organizationId, group: criteria.group })
    return { ...search, groups: groups.map(({ id }) => id) }
  })

  /** The page that was searched for, or less where there is no more. */
  const page = Effect.fnUntraced(function* (asked: Search) {
    const search = yield* inGroups(asked)
    const isFiltered = filters(search).length > 0
    const isSought = isFiltered && (yield* guess(search)) <= few[search.order]
    const rows = isSought ? [] : yield* walk(search).unprepared
    return yield* decode(rows.length === search.count ? rows : yield* seek(search).unprepared)
  })

  /** One server, if it is available. */
  const find = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: ServerId }),
    Result: DiscoveredServer,
    execute: ({ id, organizationId }) =>
      show(
        { ...everything, organizationId },
        sql`
          select s.id, s.name_key as key
            from servers s
            join server_presence p on p.server_id = s.id
           where ${sql.and([discoverable(organizationId), sql`s.id = ${id}`, heard({})])}`
      )
  })

  return { walk, seek, page, find }
})
