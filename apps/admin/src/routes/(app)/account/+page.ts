import { decodeApiTokens } from "#lib/access.ts"
import { accountKey, decodeAdminSessions, decodePasskeys } from "#lib/account.ts"
import { kept } from "#lib/kept.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView, type Tab } from "./view.ts"

/** A tab comes with its code: most visits are for one of them. */
const shownIn = async (tab: Tab) => {
  switch (tab) {
    case "sign-in":
      return { tab, passkeys: decodePasskeys(await rpc.account.passkeys.query()) }
    case "sessions":
      return { tab, sessions: decodeAdminSessions(await rpc.account.sessions.query()) }
    case "api-tokens": {
      const [{ default: Shown }, tokens] = await Promise.all([
        import("./ApiTokens.svelte"),
        rpc.account.apiTokens.query()
      ])
      return { tab, Shown, tokens: decodeApiTokens(tokens) }
    }
    case "appearance":
      return { tab }
  }
}

export const load = kept((async ({ depends, url }) => {
  depends(accountKey)
  const view = parseView(url.searchParams)
  return { view, shown: await shownIn(view.tab) }
}) satisfies PageLoad)
