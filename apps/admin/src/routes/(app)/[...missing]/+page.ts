import { error } from "@sveltejs/kit"

/** Every path that no page has, shown inside the shell. */
export const load = () => error(404, "There is no such page")
