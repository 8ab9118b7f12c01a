/** Asks before something that was typed, or is shown only once, would be lost with the page. */
import { beforeNavigate } from "$app/navigation"

const question = "Leave this? What is not saved is lost."

/** To be called while a component starts. */
export const guardLeaving = (isDirty: () => boolean) => {
  beforeNavigate((navigation) => {
    if (!isDirty()) return
    // Where the tab itself is closed or reloaded, the browser asks in its own words.
    if (navigation.willUnload ? true : !confirm(question)) navigation.cancel()
  })
}
