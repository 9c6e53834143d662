/** What each system must come to, for the apparatus to be worth something. */
import type { Run } from './run.ts'

/** A known-bad one lets stale writes through. Holdfast lets none through and nobody believe beside another, and has had the chance to. */
export function isAsExpected({ system, believers, stale, refused, grants, stops }: Run): boolean {
  // Each stop must have given the lock to somebody else meanwhile; else nothing was put to the test.
  if (grants <= stops) return false
  return system.isKnownBad ? stale > 0 : stale === 0 && believers === 0 && refused > 0
}
