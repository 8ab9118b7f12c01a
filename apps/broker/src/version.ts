import manifest from "../package.json" with { type: "json" }

/** Of the broker that runs. */
export const version: string = manifest.version
