/** What the verification page shows, as it stands in the URL. */
import { GroupId } from "@broker/domain/Server"
import { VerificationList, type VerificationQuery } from "@broker/domain/Verification"
import { Schema } from "effect"
import type { RouterInputs } from "#lib/rpc.ts"
import { limitOf, one, searchOf } from "#lib/views.ts"

export const verificationKey = "broker:verification"

export interface VerificationView {
  readonly list: VerificationQuery["list"]
  /** In this group or below. */
  readonly groupId: GroupId | null
  readonly limit: number
  readonly cursor: string | null
}

const defaults: VerificationView = { list: "due", groupId: null, limit: 50, cursor: null }

const isList = Schema.is(VerificationList)
const isGroup = Schema.is(GroupId)

/** Reads the URL. What makes no sense there is left out rather than refused. */
export const parseView = (params: Pick<URLSearchParams, "get">): VerificationView => ({
  list: one(isList, params.get("list")) ?? defaults.list,
  groupId: one(isGroup, params.get("group")),
  limit: limitOf(params.get("limit"), defaults.limit),
  cursor: params.get("after")
})

export const viewSearch = (view: VerificationView) =>
  searchOf([
    ["list", view.list === defaults.list ? "" : view.list],
    ["group", view.groupId ?? ""],
    ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
    ["after", view.cursor ?? ""]
  ])

export const toQuery = ({ cursor, groupId, limit, list }: VerificationView): RouterInputs["verification"]["list"] => ({
  list,
  groupId,
  limit,
  cursor
})
