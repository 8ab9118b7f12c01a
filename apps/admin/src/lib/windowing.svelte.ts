/** Long lists of which only what is on screen stands in the document. */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  observeWindowOffset,
  observeWindowRect,
  type VirtualItem,
  Virtualizer,
  type VirtualizerOptions,
  windowScroll
} from "@tanstack/virtual-core"
import { untrack } from "svelte"

interface Options {
  readonly count: () => number
  /** How high a row is, or about. */
  readonly height: () => number
  /** What scrolls: null before it is there, and the window where it is the page that scrolls. */
  readonly scroller: () => HTMLElement | "window" | null
  /** How far below the top of what scrolls the list begins. */
  readonly margin?: () => number
  /** What covers the top of what scrolls, such as the head of a table. */
  readonly covered?: number
  /** Where to begin, in pixels. */
  readonly from?: number
  /** Rows beside those on screen, so that a turn of the wheel shows no gap. */
  readonly spare?: number
}

interface Driven {
  readonly stop: () => void
  readonly update: () => void
  readonly to: (index: number) => void
  readonly measure: (row: HTMLElement) => void
  readonly offset: () => number
}

/** Made while its component is, whose effects it uses. */
export class Windowing {
  #items = $state.raw<ReadonlyArray<VirtualItem>>([])
  #total = $state(0)
  #driven: Driven | undefined
  readonly #options: Options

  /** Which rows to draw. */
  readonly range = $derived(
    this.#items.length === 0
      ? { from: 0, to: 0 }
      : { from: this.#items[0]?.index ?? 0, to: (this.#items.at(-1)?.index ?? -1) + 1 }
  )
  readonly before = $derived(this.#items.length === 0 ? 0 : Math.max(0, (this.#items[0]?.start ?? 0) - this.#margin()))
  readonly after = $derived(
    this.#items.length === 0 ? 0 : Math.max(0, this.#total - ((this.#items.at(-1)?.end ?? 0) - this.#margin()))
  )

  constructor(options: Options) {
    this.#options = options
    $effect(() => {
      const scroller = options.scroller()
      if (scroller === null) return
      return untrack(() => this.#drive(scroller))
    })
    $effect(() => {
      options.count()
      options.height()
      options.margin?.()
      untrack(() => this.#driven?.update())
    })
  }

  /** Brings a row on screen. */
  show(index: number) {
    this.#driven?.to(index)
  }

  /** For rows of unequal height: how high each is, as it is drawn. Rows carry `data-index`. */
  readonly measured = (row: HTMLElement) => this.#driven?.measure(row)

  get offset() {
    return this.#driven?.offset() ?? 0
  }

  #margin() {
    return this.#options.margin?.() ?? 0
  }

  #common() {
    const { count, covered, from, height, spare } = this.#options
    // Asked once rather than for each row: a list may have 100,000 of them.
    const tall = height()
    return {
      count: count(),
      estimateSize: () => tall,
      overscan: spare ?? 12,
      scrollMargin: this.#margin(),
      scrollPaddingStart: covered ?? 0,
      ...(from === undefined ? {} : { initialOffset: from })
    }
  }

  #drive(scroller: HTMLElement | "window") {
    const run = <Scroller extends HTMLElement | Window>(options: () => VirtualizerOptions<Scroller, HTMLElement>) => {
      const virtualizer = new Virtualizer<Scroller, HTMLElement>(options())
      const read = () => {
        this.#items = virtualizer.getVirtualItems()
        this.#total = virtualizer.getTotalSize()
      }
      const mounted = virtualizer._didMount()
      let height = this.#options.height()
      const update = () => {
        virtualizer.setOptions(options())
        if (height !== this.#options.height()) {
          height = this.#options.height()
          virtualizer.measure()
        }
        virtualizer._willUpdate()
        read()
      }
      update()
      this.#driven = {
        update,
        stop: mounted,
        to: (index) => virtualizer.scrollToIndex(index, { align: "auto" }),
        measure: (row) => virtualizer.measureElement(row),
        offset: () => virtualizer.scrollOffset ?? 0
      }
      return { onChange: read }
    }
    const changed = { run: () => {} }
    const onChange = () => changed.run()
    const driven =
      scroller === "window"
        ? run<Window>(() => ({
            ...this.#common(),
            onChange,
            getScrollElement: () => window,
            observeElementRect: observeWindowRect,
            observeElementOffset: observeWindowOffset,
            scrollToFn: windowScroll
          }))
        : run<HTMLElement>(() => ({
            ...this.#common(),
            onChange,
            getScrollElement: () => scroller,
            observeElementRect,
            observeElementOffset,
            scrollToFn: elementScroll
          }))
    changed.run = driven.onChange
    driven.onChange()
    return () => {
      changed.run = () => {}
      this.#driven?.stop()
      this.#driven = undefined
    }
  }
}
