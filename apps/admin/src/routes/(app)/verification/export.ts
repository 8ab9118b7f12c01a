/** One list of the verification page as CSV, fetched page by page. */
import type { VerifiedServer } from "@broker/domain/Verification"
import { iso, type Sheet, saveAll } from "#lib/csv.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeVerifiedPage } from "#lib/verification.ts"
import { toQuery, type VerificationView } from "./filters.ts"

const sheet = (view: VerificationView): Sheet<VerifiedServer> => ({
  name: `verification-${view.list}`,
  header: [
    "server",
    "id",
    "group",
    "verified",
    "verified_at",
    "due_at",
    "risk",
    "last_purpose",
    "last_outcome",
    "last_at",
    "latency_ms",
    "silences",
    "reason"
  ],
  cells: (server) => [
    server.name,
    server.serverId,
    server.group,
    server.verified,
    iso(server.verifiedAt),
    iso(server.dueAt),
    server.risk,
    server.last?.purpose ?? null,
    server.last?.state ?? null,
    iso(server.last?.at ?? null),
    server.last?.latencyMillis ?? null,
    server.silences,
    server.reason
  ]
})

export const exportVerification = (view: VerificationView, progress: (rows: number) => void) =>
  saveAll(
    sheet(view),
    async (page) => decodeVerifiedPage(await rpc.verification.list.query({ ...toQuery(view), ...page })),
    progress
  )
