/** What there is to read, in the order in which somebody new would. */

export interface ListedPage {
  /** Where it is served. */
  readonly path: string
  /** Its Markdown, below `docs/`; none where the page is made in another way. */
  readonly file?: string
  readonly label: string
  /** What one finds there. */
  readonly about: string
}

const page = (name: string, label: string, about: string): ListedPage => ({
  path: `/docs/${name}`,
  file: `${name}.md`,
  label,
  about
})

export const sections: ReadonlyArray<{ readonly title: string; readonly pages: ReadonlyArray<ListedPage> }> = [
  {
    title: "Guides",
    pages: [
      page("guides/register-a-server", "Register a server", "A key, an agent or curl, and what can go wrong."),
      page("guides/write-a-client", "Write a client", "Sign in, find a server, connect, report, end."),
      page("guides/receive-webhooks", "Receive webhooks", "A receiver in one file, tested and replayed."),
      page("guides/follow-the-feed", "Follow the feed", "Read every change, once and in order."),
      page("guides/read-with-an-api-token", "Read with an API token", "Pages, filters, entity tags and limits."),
      page("api", "What machines may do", "The API for other systems, call by call."),
      page("embedding", "Embed the core", "A real broker in a test, and the core without HTTP.")
    ]
  },
  {
    title: "Reference",
    pages: [
      { path: "/docs", label: "API", about: "Every call, to read and to try." },
      page("events", "Events", "Every type of event, with its data."),
      page("webhooks", "Webhooks", "What is promised, retries, pauses, where they may lead."),
      { path: "/problems", file: "problems.md", label: "Problems", about: "Every code of a failure, and what to do." },
      page("permissions", "Permissions", "Who may do what."),
      page("command-line", "Command line", "Every command."),
      page("configuration", "Configuration", "Every setting."),
      page("changelog", "Changelog", "What each release can do.")
    ]
  },
  {
    title: "Clients and gateways",
    pages: [
      page("client-sdk", "With @broker/client", "Both sides in TypeScript, and in plain HTTP."),
      page("registering-with-curl", "A server by hand", "The whole of joining in one script.")
    ]
  },
  {
    title: "The fleet",
    pages: [
      page("groups", "Groups, tags and labels", "Keep a fleet in order."),
      page("search", "Search", "Find any server in one line."),
      page("bulk-actions", "Bulk actions", "Do something to thousands, and take it back."),
      page("inventory", "Inventory", "Export and import, as JSON and CSV."),
      page("liveness", "Liveness", "What online, offline and unknown mean."),
      page("verification", "Verification", "How servers prove who they are."),
      page("metrics", "Metrics", "What servers measure, and where it goes."),
      page("monitoring", "Monitoring", "The fleet and the broker at a glance."),
      page("reports", "Reports", "What figures mean, schedules, e-mail, hashes.")
    ]
  },
  {
    title: "Operation and security",
    pages: [
      page("sizing", "Sizing", "What machine how large a fleet needs, as measured."),
      page("network", "Network", "TLS, proxies, limits, headers."),
      page("signing-in", "Signing in", "Passwords, factors, links, single sign-on."),
      page("audit-log", "Audit log", "Who did what, and how to check it."),
      page("encryption", "Encryption at rest", "The key that secrets are sealed under."),
      page("security", "Security", "What is defended, how, and by which test.")
    ]
  },
  {
    title: "Inside",
    pages: [
      page("architecture", "Architecture", "How it is built."),
      page("rules", "Rules", "What makes a broker correct."),
      page("glossary", "Glossary", "One word for one thing.")
    ]
  }
]

export const pages: ReadonlyArray<ListedPage> = sections.flatMap(({ pages }) => pages)
