import { GroupInTree, GroupRequest } from "@broker/domain/Group"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { above, arranged, originOf, period, withBelow } from "../src/lib/group-tree.ts"
import { draftOf, requestOf } from "../src/routes/(app)/groups/draft.ts"
import { visible } from "../src/routes/(app)/groups/tree.ts"

const decode = Schema.decodeUnknownSync(GroupInTree.json)
const idOf = (at: number) => `01936b3e-0000-7000-9000-00000000000${at}`

const group = (at: number, parent: number | null, path: string, policy: Partial<typeof GroupRequest.Encoded> = {}) => {
  const said = { heartbeatIntervalSeconds: null, verificationPeriodSeconds: null, connectionLimit: null, ...policy }
  return decode({
    id: idOf(at),
    parentId: parent === null ? null : idOf(parent),
    name: path.split("/").at(-1),
    path,
    depth: path.split("/").length,
    createdAt: "2026-11-23T12:00:00.000Z",
    servers: 0,
    serversBelow: 0,
    availableBelow: 0,
    effectiveHeartbeatIntervalSeconds: null,
    effectiveVerificationPeriodSeconds: null,
    effectiveConnectionLimit: null,
    ...said
  })
}

const us = group(1, null, "us")
const eu = group(2, null, "eu", { heartbeatIntervalSeconds: 10 })
const rack10 = group(3, 2, "eu/rack 10")
const rack9 = group(4, 2, "eu/rack 9", { connectionLimit: 5 })
const shelf = group(5, 4, "eu/rack 9/shelf")
const tree = arranged([shelf, us, rack10, rack9, eu])
const paths = (groups: ReadonlyArray<{ readonly path: string }>) => groups.map(({ path }) => path)

describe("the tree of groups", () => {
  it("has each group before those in it, by name with numbers as numbers", () => {
    expect(paths(tree)).toEqual(["eu", "eu/rack 9", "eu/rack 9/shelf", "eu/rack 10", "us"])
  })

  it("keeps a group whose parent is not known", () => {
    expect(paths(arranged([shelf, us]))).toEqual(["eu/rack 9/shelf", "us"])
  })

  it("hides what is in a folded group", () => {
    expect(paths(visible(tree, new Set([rack9.id]), ""))).toEqual(["eu", "eu/rack 9", "eu/rack 10", "us"])
    expect(paths(visible(tree, new Set([eu.id]), ""))).toEqual(["eu", "us"])
  })

  it("shows what fits a search with all above it, folded or not", () => {
    expect(paths(visible(tree, new Set([eu.id]), "SHELF"))).toEqual(["eu", "eu/rack 9", "eu/rack 9/shelf"])
    expect(visible(tree, new Set(), "nowhere")).toEqual([])
  })

  it("offers no group a place in itself or below", () => {
    expect(withBelow(eu.id, tree)).toEqual(new Set([eu.id, rack9.id, rack10.id, shelf.id]))
  })

  it("knows what a group is in, from the top down", () => {
    expect(paths(above(shelf, tree))).toEqual(["eu", "eu/rack 9"])
    expect(above(us, tree)).toEqual([])
  })

  it("says where a policy comes from", () => {
    expect(originOf(eu, "heartbeatIntervalSeconds", tree)).toEqual({ value: 10, from: "itself" })
    expect(originOf(shelf, "heartbeatIntervalSeconds", tree)).toEqual({ value: 10, from: eu })
    expect(originOf(shelf, "connectionLimit", tree)).toEqual({ value: 5, from: rack9 })
    expect(originOf(shelf, "verificationPeriodSeconds", tree)).toBeNull()
  })

  it("names periods by the largest unit that fits", () => {
    expect([90, 120, 7_200, 86_400, 172_800].map(period)).toEqual(["90 s", "2 min", "2 h", "1 day", "2 days"])
  })
})

describe("the form of a group", () => {
  it("asks for what the group says already, and leaves to the group above what it does", () => {
    expect(requestOf(draftOf(rack9, null))).toEqual({
      name: "rack 9",
      parentId: eu.id,
      heartbeatIntervalSeconds: null,
      verificationPeriodSeconds: null,
      connectionLimit: 5
    })
  })

  it("reads amounts in their unit", () => {
    const draft = {
      ...draftOf(null, eu.id),
      name: " new ",
      verificationPeriodSeconds: { own: true, amount: "1,5", unit: 3_600 }
    }
    expect(requestOf(draft)).toMatchObject({ name: "new", parentId: eu.id, verificationPeriodSeconds: 5_400 })
  })

  it("takes a missing or wrong amount for none that the schema lets pass", () => {
    const isSound = Schema.is(GroupRequest)
    const draft = { ...draftOf(eu, null), connectionLimit: { own: true, amount: "", unit: 1 } }
    expect(isSound(requestOf(draft))).toBe(false)
    expect(isSound(requestOf({ ...draft, connectionLimit: { own: true, amount: "many", unit: 1 } }))).toBe(false)
    expect(isSound(requestOf({ ...draft, connectionLimit: { own: true, amount: "0", unit: 1 } }))).toBe(true)
  })
})
