/** A way for frames to another server, in order, until it closes. What is on the other end has proved that it belongs to the cluster. */
export interface Transport {
  send(frame: string): void
  /** No frame is sent or handed over after this; `closed` is called all the same. */
  close(): void
}

/** What becomes of a transport. `opened` at most once; `closed` once, last. */
export type TransportEvents = {
  opened(): void
  frame(text: string): void
  closed(): void
}

/** Begins to connect. Nothing is called back before it has returned. */
export type Dial = (events: TransportEvents) => Transport
