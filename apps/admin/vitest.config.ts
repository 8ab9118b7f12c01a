import { svelte } from "@sveltejs/vite-plugin-svelte"
import { defineConfig } from "vitest/config"

/** What the dashboard keeps in a tab, compiled as browsers get it: so that what follows from a change does follow. */
export default defineConfig({
  plugins: [svelte({ configFile: false })],
  resolve: { conditions: ["browser"] },
  test: {
    name: "apps/admin state",
    include: ["test/**/*.svelte.test.ts"],
    environment: "./test/Environment.ts",
    server: { deps: { inline: [/svelte/] } }
  }
})
