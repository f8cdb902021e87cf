import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ArtifactFormat,
  addSignature,
  followRoots,
  NO_VERSIONS,
  signDocument,
  usableOffers,
  VERIFICATION_CHECKS,
  verifyAssignment,
} from "../../src/protocol/index.ts";
import { verifyWith } from "../../src/protocol/verification.ts";
import { badCases, TYPICAL } from "../support/bad-metadata.ts";
import {
  addRoot,
  goodSet,
  KEYS,
  type MetadataSet,
  NOW,
  roleOf,
  SHA,
  signSet,
} from "../support/metadata-set.ts";

function judge(make: (set: MetadataSet) => void = () => {}, checks?: typeof VERIFICATION_CHECKS) {
  const set = goodSet();
  make(set);
  const { message, trust, facts } = signSet(set);
  return checks
    ? verifyWith(checks, message, trust, facts)
    : verifyAssignment(message, trust, facts);
}

describe("a device that judges an assignment", () => {
  it("accepts what is signed, fresh and meant for it, and remembers what it saw", () => {
    const verdict = judge((set) => {
      set.versions = { ...NO_VERSIONS };
    });
    expect(verdict).toMatchObject({ accepted: true });
    expect(verdict.trust.versions).toEqual({ timestamp: 9, snapshot: 5, targets: 3 });
  });

  const cases = badCases();
  it("is shown some hundreds of sets that are wrong in one way", () => {
    expect(cases.length).toBeGreaterThan(400);
    expect(new Set(cases.map(({ check, name }) => `${check}/${name}`)).size).toBe(cases.length);
    expect(new Set(cases.map(({ check }) => check))).toEqual(new Set(VERIFICATION_CHECKS));
  });
  it.each(cases.map((each) => [each.check, each.name, each.make] as const))(
    "refuses by %s: %s",
    (check, _name, make) => {
      expect(judge(make)).toMatchObject({ accepted: false, check });
    },
  );

  const pairs = VERIFICATION_CHECKS.flatMap((first, index) =>
    VERIFICATION_CHECKS.slice(index + 1).map((second) => [first, second] as const),
  );
  it.each(pairs)("finds %s before %s where both are wrong", (first, second) => {
    const both = (set: MetadataSet) => {
      TYPICAL[second](set);
      TYPICAL[first](set);
    };
    expect(judge(both)).toMatchObject({ accepted: false, check: first });
  });

  it.each(VERIFICATION_CHECKS)("would let a bad set through without the check %s", (check) => {
    const others = VERIFICATION_CHECKS.filter((each) => each !== check);
    expect(judge(TYPICAL[check])).toMatchObject({ accepted: false, check });
    expect(judge(TYPICAL[check], others as never)).toMatchObject({ accepted: true });
  });

  it.each([undefined, null, 1, "x", [], {}, { signed: null, signatures: [] }])(
    "refuses %j without failing",
    (value) => {
      const { trust, facts } = signSet(goodSet());
      expect(verifyAssignment(value, trust, facts)).toMatchObject({ check: "format" });
    },
  );

  it("never fails, and never accepts, whatever is changed in a good message", () => {
    const { message, trust, facts } = signSet(goodSet());
    const paths = leavesOf(message);
    // What was there in a list of its own, and what cannot be made text: both fool a careless check.
    const LISTED = {};
    const odd = fc.constantFrom<unknown>(LISTED, { toString: false }, [{ toString: 1 }], "");
    const anything = fc.oneof(fc.jsonValue(), odd);
    fc.assert(
      fc.property(fc.nat(paths.length - 1), anything, (index, made) => {
        const path = paths[index] as string[];
        const altered = structuredClone(message) as unknown as Record<string, unknown>;
        const holder = path.slice(0, -1).reduce((at, key) => at[key] as never, altered);
        const key = path.at(-1) as string;
        const value = made === LISTED ? [holder[key]] : made;
        fc.pre(JSON.stringify(holder[key]) !== JSON.stringify(value));
        holder[key] = value;
        return !verifyAssignment(altered, trust, facts).accepted;
      }),
      { numRuns: 1_000 },
    );
  });

  it("is not brought down by nesting", () => {
    const { message, trust, facts } = signSet(goodSet());
    const deep = JSON.parse(`${"[".repeat(50_000)}${"]".repeat(50_000)}`);
    const nested = { ...message, signed: { ...message.signed, note: deep } };
    expect(verifyAssignment(nested, trust, facts)).toMatchObject({ check: "format" });
  });

  it("permits a downgrade when the director means it", () => {
    const back = (set: MetadataSet) => {
      set.facts.runningVersion = "2.0.0";
      set.assignment.allowDowngrade = true;
    };
    expect(judge(back)).toMatchObject({ accepted: true });
  });

  it("accepts a cancellation without a release, signed by the director alone", () => {
    const cancel = (set: MetadataSet) => {
      set.assignment.action = "cancel";
      set.assignment.release = null;
    };
    expect(judge(cancel)).toMatchObject({ accepted: true });
    const forged = (set: MetadataSet) => {
      cancel(set);
      TYPICAL["director-signature"](set);
    };
    expect(judge(forged)).toMatchObject({ check: "director-signature" });
  });

  it("lets the targets role sign what it has not delegated", () => {
    const own = (set: MetadataSet) => {
      set.targets?.delegations?.roles.shift();
      set.signers.release = [...KEYS.targets];
    };
    expect(judge(own)).toMatchObject({ accepted: true });
    const nothingDelegated = (set: MetadataSet) => {
      set.targets = null;
      set.versions = { ...set.versions, targets: 0 };
      set.signers.release = [...KEYS.targets];
    };
    expect(judge(nothingDelegated)).toMatchObject({ accepted: true });
  });

  it("accepts any two of the three, and signatures beside them that are none", () => {
    const [one, two, three] = KEYS.pump;
    for (const release of [
      [one, two],
      [one, three],
      [two, three],
      [one, two, three],
      [one, ...KEYS.stranger, three],
    ]) {
      expect(
        judge((set) => {
          set.signers.release = release;
        }),
      ).toMatchObject({ accepted: true });
    }
  });

  it("counts signatures added by several people, each once", () => {
    const once = signDocument({ a: 1 }, [KEYS.pump[0]]);
    const twice = addSignature(addSignature(once, KEYS.pump[1]), KEYS.pump[1]);
    expect(twice.signatures).toHaveLength(2);
  });
});

describe("a device that follows new trust roots", () => {
  const rotate = (set: MetadataSet) => {
    const added = addRoot(set);
    added.signed.roles.root = roleOf([...KEYS.nextRoot], 2);
    added.signers = [...KEYS.root, ...KEYS.nextRoot];
    return added;
  };

  it("judges all else by the newest, and keeps it though the assignment is refused", () => {
    const verdict = judge((set) => {
      rotate(set);
      const last = addRoot(set);
      last.signers = [...KEYS.nextRoot];
      set.assignment.device = "pump-2";
    });
    expect(verdict).toMatchObject({ accepted: false, check: "device" });
    expect(verdict.trust.root.signed.version).toBe(3);
    expect(verdict.trust.versions.timestamp).toBe(9);
  });

  it("believes none of a chain that breaks", () => {
    const verdict = judge((set) => {
      rotate(set);
      addRoot(set).signers = [...KEYS.root];
    });
    expect(verdict).toMatchObject({
      check: "root-chain",
      trust: { root: { signed: { version: 1 } } },
    });
  });

  it("forgets the versions that stolen online keys had run up, once they are replaced", () => {
    const rescue = (change: (set: MetadataSet) => void) =>
      judge((set) => {
        set.versions = { timestamp: 1e6, snapshot: 1e6, targets: 3 };
        change(set);
      });
    expect(rescue(() => {})).toMatchObject({ check: "metadata-version" });
    expect(rescue((set) => void addRoot(set))).toMatchObject({ check: "metadata-version" });
    const replaced = rescue((set) => {
      const added = addRoot(set);
      added.signed.roles.timestamp = roleOf([...KEYS.stranger]);
      set.signers.timestamp = [...KEYS.stranger];
    });
    expect(replaced).toMatchObject({ accepted: true });
    expect(replaced.trust.versions.timestamp).toBe(9);
  });

  it("outlives the end of the root that it holds", () => {
    const verdict = judge((set) => {
      set.trusted.expires = new Date(NOW - 1).toISOString();
      addRoot(set, { expires: new Date(NOW + 1_000).toISOString() });
    });
    expect(verdict).toMatchObject({ accepted: true });
  });

  it("takes a chain without an assignment as far as it holds", () => {
    const set = goodSet();
    rotate(set);
    addRoot(set).signers = [...KEYS.root];
    const { message, trust } = signSet(set);
    const { roots } = message.metadata;
    const followed = followRoots(roots, trust);
    expect(followed.fault).toContain("root 3 lacks");
    expect(followed.trust.root.signed.version).toBe(2);
    expect(followRoots([{}], trust).fault).toContain("no trust root");
    expect(followRoots(roots.slice(1), trust).fault).toContain("does not follow");
  });
});

function leavesOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  // The roots' list and the text of a format are free to grow: nothing there is believed unsigned.
  return Object.entries(value).flatMap(([key, member]) => leavesOf(member, [...path, key]));
}

describe("the choice of an artifact", () => {
  const offer = (format: ArtifactFormat, sizeBytes: number, sourceSha256: string | null) => ({
    format,
    url: "https://x/",
    sha256: SHA("c"),
    sizeBytes,
    sourceSha256,
  });

  it("takes the smallest that the device can apply to what it runs", () => {
    const offers = [
      offer("full", 1000, null),
      offer("zstd-patch", 10, SHA("z")),
      offer("zstd-patch", 50, SHA("a")),
      offer("full-zstd", 400, null),
    ];
    const formats = ["full", "full-zstd", "zstd-patch"];
    const sizes = (usable: typeof offers) => usable.map((each) => each.sizeBytes);
    expect(sizes(usableOffers(offers, { runningSha256: SHA("a"), formats }))).toEqual([
      50, 400, 1000,
    ]);
    expect(sizes(usableOffers(offers, { runningSha256: null, formats: ["full"] }))).toEqual([1000]);
  });
});
