/** JSON Merge Patch (RFC 7386): what every PATCH means. */

/** What is left out stays, null takes away, an object is merged into the one that is there, and anything else takes its place. */
export type MergePatch<Target> = {
  [Key in keyof Target]?: (Target[Key] extends object ? MergePatch<Target[Key]> : Target[Key]) | null
}

/** The target with the patch applied, as a new object; neither argument is changed. Lists are replaced, as they have no names to merge by. */
export function mergePatch<Target extends object>(target: Target, patch: MergePatch<Target>): Target {
  const merged = new Map(Object.entries(target))
  for (const [name, value] of Object.entries(patch)) {
    const before = merged.get(name)
    if (value === null) merged.delete(name)
    else merged.set(name, isObject(value) ? mergePatch(isObject(before) ? before : {}, value) : value)
  }
  // A patch of a type gives that type: who may remove which field is said by the schema of the patch.
  return Object.fromEntries(merged) as Target
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
