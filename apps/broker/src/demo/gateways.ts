/** The gateways of the demo: where they are, what they can do, and how well they keep. */
import type { GroupRequest } from "@broker/domain/Group"
import { Duration } from "effect"

/** `steady` gateways report all the time; the others are away now and then, for so long. */
export type Temper = "steady" | { readonly present: Duration.Duration; readonly away: Duration.Duration }

export interface Gateway {
  readonly name: string
  readonly city: string
  /** The path of the group that an admin put it into. */
  readonly group: string
  readonly location: { readonly latitude: number; readonly longitude: number }
  readonly version: string
  readonly tags: ReadonlyArray<string>
  readonly capabilities: ReadonlyArray<string>
  /** About how busy its machine is, in percent, whoever connects. */
  readonly load: number
  readonly temper: Temper
  /** What an admin has done with it, or has yet to do. */
  readonly standing: "approved" | "pending" | "suspended" | "maintenance"
}

const usual = { version: "1.4.2", capabilities: ["vpn"], load: 20, temper: "steady", standing: "approved" } as const

const at = (latitude: number, longitude: number) => ({ latitude, longitude })

export const gateways: ReadonlyArray<Gateway> = [
  {
    ...usual,
    name: "fra-1",
    city: "Frankfurt",
    group: "eu/frankfurt",
    location: at(50.11, 8.68),
    tags: ["eu", "backbone"],
    load: 64
  },
  {
    ...usual,
    name: "fra-2",
    city: "Frankfurt",
    group: "eu/frankfurt",
    location: at(50.12, 8.74),
    tags: ["eu"],
    load: 41
  },
  {
    ...usual,
    name: "ams-1",
    city: "Amsterdam",
    group: "eu/amsterdam",
    location: at(52.37, 4.9),
    tags: ["eu", "backbone"],
    load: 58
  },
  {
    ...usual,
    name: "lon-1",
    city: "London",
    group: "eu/london",
    location: at(51.51, -0.13),
    tags: ["eu"],
    capabilities: ["vpn", "lan"]
  },
  {
    ...usual,
    name: "par-1",
    city: "Paris",
    group: "eu/paris",
    location: at(48.86, 2.35),
    tags: ["eu"],
    version: "1.3.9",
    load: 12
  },
  {
    ...usual,
    name: "nyc-1",
    city: "New York",
    group: "us/new-york",
    location: at(40.71, -74.01),
    tags: ["us", "backbone"],
    load: 52
  },
  {
    ...usual,
    name: "sfo-1",
    city: "San Francisco",
    group: "us/san-francisco",
    location: at(37.77, -122.42),
    tags: ["us"],
    // Long enough to become degraded, and back before it is offline.
    temper: { present: Duration.seconds(75), away: Duration.seconds(14) }
  },
  {
    ...usual,
    name: "sao-1",
    city: "São Paulo",
    group: "sa/sao-paulo",
    location: at(-23.55, -46.63),
    tags: ["sa"],
    version: "1.3.9",
    temper: { present: Duration.seconds(120), away: Duration.seconds(45) }
  },
  {
    ...usual,
    name: "sin-1",
    city: "Singapore",
    group: "ap/singapore",
    location: at(1.35, 103.82),
    tags: ["ap", "backbone"],
    load: 37
  },
  {
    ...usual,
    name: "tyo-1",
    city: "Tokyo",
    group: "ap/tokyo",
    location: at(35.68, 139.69),
    tags: ["ap"],
    standing: "maintenance",
    load: 3
  },
  {
    ...usual,
    name: "syd-1",
    city: "Sydney",
    group: "ap/sydney",
    location: at(-33.87, 151.21),
    tags: ["ap"],
    standing: "pending",
    load: 0
  },
  {
    ...usual,
    name: "jnb-1",
    city: "Johannesburg",
    group: "af/johannesburg",
    location: at(-26.2, 28.05),
    tags: ["af"],
    standing: "suspended",
    load: 0
  }
]

/** What groups say of their servers, where they say anything. */
const policies: Readonly<Record<string, Partial<GroupRequest>>> = {
  eu: { connectionLimit: 200 },
  "eu/frankfurt": { connectionLimit: 400, verificationPeriodSeconds: 3_600 },
  us: { verificationPeriodSeconds: 12 * 3_600 },
  af: { heartbeatIntervalSeconds: 15, connectionLimit: 50 }
}

/** The tree that the gateways are in, those above first. */
export const groups: ReadonlyArray<{ readonly path: string; readonly policy: Partial<GroupRequest> }> = [
  ...new Set(
    gateways.flatMap(({ group }) => group.split("/").map((_, depth, names) => names.slice(0, depth + 1).join("/")))
  )
]
  .sort()
  .map((path) => ({ path, policy: policies[path] ?? {} }))
