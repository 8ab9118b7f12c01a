import { ConnectionId } from "@broker/domain/Connection"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { decodeConnection } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

const isConnectionId = Schema.is(ConnectionId)
const missing = () => error(404, "There is no such connection")

export const load = kept((async ({ params: { id } }) => {
  if (!isConnectionId(id)) missing()
  try {
    return { connection: decodeConnection(await rpc.connections.get.query({ id: ConnectionId.make(id) })) }
  } catch (failure) {
    if (explain(failure).code === "connection_not_found") missing()
    throw failure
  }
}) satisfies PageLoad)
