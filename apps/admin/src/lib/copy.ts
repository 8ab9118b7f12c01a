/** Copies text, also where the page is not on https and the clipboard's own interface is missing. */
export const copyText = async (text: string) => {
  if (window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = document.createElement("textarea")
  area.value = text
  area.setAttribute("readonly", "")
  area.style.position = "fixed"
  area.style.opacity = "0"
  // A dialog keeps the focus inside itself, so the text has to be selected there.
  const host = document.activeElement?.closest("[role=dialog]") ?? document.body
  host.append(area)
  area.select()
  const copied = document.execCommand("copy")
  area.remove()
  if (!copied) throw new Error("The browser did not copy.")
}
