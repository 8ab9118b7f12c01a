import { ServerId } from "@broker/domain/Server"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { decodeHistory, decodeServer } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { historyKey } from "./live-server.svelte.ts"

const isServerId = Schema.is(ServerId)
const missing = () => error(404, "There is no such server")

export const load = kept((async ({ depends, params: { id } }) => {
  depends(historyKey)
  if (!isServerId(id)) missing()
  try {
    const [server, history] = await Promise.all([
      rpc.servers.get.query({ id: ServerId.make(id) }),
      rpc.servers.history.query({ id: ServerId.make(id) })
    ])
    return { server: decodeServer(server), history: decodeHistory(history) }
  } catch (failure) {
    if (explain(failure).code === "server_not_found") missing()
    throw failure
  }
}) satisfies PageLoad)
