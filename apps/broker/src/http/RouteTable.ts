/**
 * Which methods a path has. The router only says that it found nothing; the table, filled while routes are added, tells
 * a wrong method (405) from an unknown path (404) and can't drift from what is served.
 */
import { Effect, Layer } from "effect"
import { FindMyWay, HttpRouter } from "effect/http"

/** The dashboard's route: it takes every path, so it says nothing about any. */
export const catchAll = "/*"

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY", "OPTIONS"] as const

export class RouteTable {
  private readonly routes = FindMyWay.make<string>()

  add(method: string, path: HttpRouter.PathInput) {
    if (path === catchAll || path === "*") return
    const paths = path.endsWith("/*") ? [path, path.slice(0, -2) as HttpRouter.PathInput] : [path]
    for (const each of paths) {
      for (const name of method === "*" ? methods : [method]) this.routes.on(name, each, path)
    }
  }

  /** The methods of a path, as `Allow` lists them; empty if the path is unknown. */
  allowed(url: string): ReadonlyArray<string> {
    const found: Array<string> = methods.filter((method) => this.routes.find(method, url) !== undefined)
    if (found.length === 0) return found
    if (found[0] === "GET") found.splice(1, 0, "HEAD")
    if (!found.includes("OPTIONS")) found.push("OPTIONS")
    return found
  }

  /** The template of a path, of whatever method. */
  template(url: string): string | undefined {
    for (const method of methods) {
      const found = this.routes.find(method, url)
      if (found !== undefined) return found.handler
    }
    return undefined
  }

  /** A router that notes what is added to it. */
  watching(router: HttpRouter.HttpRouter, prefix = ""): HttpRouter.HttpRouter {
    const full = (path: HttpRouter.PathInput) =>
      prefix === "" ? path : (HttpRouter.prefixPath(path, prefix) as HttpRouter.PathInput)
    return HttpRouter.HttpRouter.of({
      ...router,
      prefixed: (more) => this.watching(router.prefixed(more), HttpRouter.prefixPath(more, prefix)),
      add: (method, path, handler, options) => {
        this.add(method, full(path))
        return router.add(method, path, handler, options)
      },
      addAll: (routes) => {
        for (const route of routes) this.add(route.method, full(route.path))
        return router.addAll(routes)
      }
    })
  }

  /** Stands between the routes and the router they are added to. */
  readonly layer = Layer.effect(
    HttpRouter.HttpRouter,
    Effect.map(HttpRouter.HttpRouter, (router) => this.watching(router))
  )
}
