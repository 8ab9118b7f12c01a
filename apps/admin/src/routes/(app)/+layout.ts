import { decodeSession } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"

export const load = async () => ({ session: decodeSession(await rpc.session.current.query()) })
