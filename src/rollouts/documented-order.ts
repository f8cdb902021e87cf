import { RolloutPolicy } from "./policy.ts";

/** As much of a JSON Schema as says in which order an object's fields stand. */
interface Shape {
  properties?: Record<string, Shape>;
  items?: Shape;
}

/**
 * A policy with its fields in the order of the guide, in its parts as well: the database keeps them in one
 * that only it needs, and people read files. What no field is known for comes last.
 */
export function inDocumentedOrder(policy: RolloutPolicy): RolloutPolicy {
  return ordered(policy, RolloutPolicy as Shape) as RolloutPolicy;
}

function ordered(value: unknown, shape: Shape | undefined): unknown {
  if (Array.isArray(value)) return value.map((each) => ordered(each, shape?.items));
  if (typeof value !== "object" || value === null) return value;
  const known = shape?.properties ?? {};
  const own = value as Record<string, unknown>;
  const names = [
    ...Object.keys(known).filter((name) => Object.hasOwn(own, name)),
    ...Object.keys(own).filter((name) => !Object.hasOwn(known, name)),
  ];
  return Object.fromEntries(names.map((name) => [name, ordered(own[name], known[name])]));
}
