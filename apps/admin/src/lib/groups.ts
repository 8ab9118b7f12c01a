/** Groups as they arrive from the broker. */
import { GroupInTree } from "@broker/domain/Group"
import { Schema } from "effect"
import { arranged } from "./group-tree.ts"
import { rpc } from "./rpc.ts"

export type GroupView = typeof GroupInTree.json.Type

const decode = Schema.decodeUnknownSync(Schema.Array(GroupInTree.json))

/** All groups, each right before those in it. */
export const groupTree = async () => arranged(decode(await rpc.groups.tree.query()))
