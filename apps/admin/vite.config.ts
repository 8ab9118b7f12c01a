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
  environments: {
    client: {
      build: {
        rolldownOptions: {
          output: {
            codeSplitting: {
              // What most pages share is one file, and so are the icons: many small ones compress badly, each on its
              // own. What few pages share stays apart, so that nobody loads it for nothing. SvelteKit's client reads
              // the payload as it is evaluated, which must have been set by then: what the start imports has a file
              // that leads to nothing else.
              groups: [
                { name: "start", test: /client\/payload\.js|vite\/preload-helper/, priority: 3 },
                { name: "kit", test: /@sveltejs\/kit\/src\/runtime\/client\/client\.js/, priority: 2 },
                { name: "icons", test: /@lucide\/svelte/, priority: 1 },
                { name: "shared", minShareCount: 12 }
              ]
            }
          }
        }
      }
    }
  },
  // A file that is inlined is a font or an image from `data:`, which the broker's CSP forbids for fonts.
  build: { target: "es2023", assetsInlineLimit: 0 }
})
