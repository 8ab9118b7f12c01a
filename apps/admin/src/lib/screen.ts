import { MediaQuery } from "svelte/reactivity"

/** Too narrow for tables: cards take their place. */
export const narrow = new MediaQuery("max-width: 767px")
