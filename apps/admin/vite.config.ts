import adapter from "@sveltejs/adapter-static"
import { sveltekit } from "@sveltejs/kit/vite"
import tailwindcss from "@tailwindcss/vite"
import { defineConfig } from "vite"

export default defineConfig({
  plugins: [
    tailwindcss(),
    sveltekit({
      // Every page is rendered in the browser: the fallback page boots the router.
      adapter: adapter({ pages: "build", fallback: "index.html", precompress: true, strict: true }),
      compilerOptions: {
        runes: ({ filename }) => (filename.split(/[/\\]/).includes("node_modules") ? undefined : true)
      },
      paths: { relative: false }
    })
  ],
  server: { port: 5173, proxy: { "/rpc": "http://localhost:3000" } },
  // A file that is inlined is a font or an image from `data:`, which the broker's CSP forbids for fonts.
  build: { target: "es2023", assetsInlineLimit: 0 }
})
