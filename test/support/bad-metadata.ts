import type { KeyObject } from "node:crypto";
import type { AssignmentMessage, VerificationCheck } from "../../src/protocol/index.ts";
import { addRoot, KEYS, type KeyName, type MetadataSet, NOW, roleOf, SHA } from "./metadata-set.ts";

export interface BadCase {
  name: string;
  check: VerificationCheck;
  make(set: MetadataSet): void;
}

type Make = (set: MetadataSet) => void;
const THREE_DAYS_AGO = new Date(NOW - 3 * 86_400_000).toISOString();

/** For each check one case that nothing else minds: alone, in pairs, and with the check left out. */
export const TYPICAL: Record<VerificationCheck, Make> = {
  format: (set) => {
    (set.assignment as { specVersion: number }).specVersion = 2;
  },
  "root-chain": (set) => {
    addRoot(set).signers = [KEYS.root[0]];
  },
  "metadata-signature": (set) => {
    set.signers.snapshot = [...KEYS.stranger];
  },
  "director-signature": (set) => {
    set.signers.director = [...KEYS.stranger];
  },
  "release-signature": (set) => {
    set.signers.release = [KEYS.pump[0]];
  },
  expiry: (set) => {
    set.timestamp.expires = THREE_DAYS_AGO;
  },
  "metadata-version": (set) => {
    set.versions = { ...set.versions, timestamp: 10 };
  },
  "metadata-binding": (set) => {
    set.editMeta.push((meta) => {
      delete meta["pump/1.1.0.json"];
    });
  },
  sequence: (set) => {
    set.assignment.sequence = 7;
  },
  tenant: (set) => {
    set.release.tenant = "globex";
  },
  device: (set) => {
    set.assignment.device = "pump-2";
  },
  product: (set) => {
    set.snapshot.product = "valve";
  },
  hardware: (set) => {
    set.release.hardwareRevisions = ["c"];
  },
  "security-counter": (set) => {
    set.release.securityCounter = 2;
  },
  "minimum-version": (set) => {
    set.release.minimumSourceVersion = "3.0.0";
  },
  downgrade: (set) => {
    set.facts.runningVersion = "2.0.0";
  },
  size: (set) => {
    set.facts.slotSizeBytes = 999;
  },
};

/** Hundreds of sets that are wrong in one way each. */
export function badCases(): BadCase[] {
  return [
    ...badFormats(),
    ...badRootChains(),
    ...badSignatures(),
    ...badDates(),
    ...badVersions(),
    ...badBindings(),
    ...badFacts(),
  ];
}

const DOCUMENTS = {
  assignment: (message: AssignmentMessage) => message,
  release: (message: AssignmentMessage) => message.signed.release,
  timestamp: (message: AssignmentMessage) => message.metadata.timestamp,
  snapshot: (message: AssignmentMessage) => message.metadata.snapshot,
  targets: (message: AssignmentMessage) => message.metadata.targets,
  root: (message: AssignmentMessage) => message.metadata.roots[0],
} as const;
type DocumentName = keyof typeof DOCUMENTS;
const NAMES = Object.keys(DOCUMENTS) as DocumentName[];

const MEMBERS: Record<DocumentName, string[]> = {
  assignment:
    "_type specVersion tenant device updateId sequence action expires allowDowngrade artifacts".split(
      " ",
    ),
  release:
    "_type specVersion tenant product version hardwareRevisions securityCounter minimumSourceVersion expires image".split(
      " ",
    ),
  timestamp: "_type spec_version version expires meta tenant product".split(" "),
  snapshot: "_type spec_version version expires meta tenant product".split(" "),
  targets: "_type spec_version version expires targets tenant".split(" "),
  root: "_type spec_version version expires keys roles tenant director".split(" "),
};

const bad = (check: VerificationCheck, name: string, make: Make): BadCase => ({
  check,
  name,
  make,
});

function tampering(name: DocumentName, edit: (document: never) => void): Make {
  return (set) => {
    if (name === "root") addRoot(set);
    set.tamper.push((message) => edit(DOCUMENTS[name](message) as never));
  };
}

function badFormats(): BadCase[] {
  const cases: BadCase[] = [];
  const add = (name: string, make: Make) => cases.push(bad("format", name, make));
  type Loose = { signed: Record<string, unknown>; signatures: unknown[] };
  for (const name of NAMES) {
    for (const member of MEMBERS[name]) {
      add(
        `${name} without ${member}`,
        tampering(name, (document: Loose) => delete document.signed[member]),
      );
      add(
        `${name} with ${member} of another kind`,
        tampering(name, (document: Loose) => {
          document.signed[member] = typeof document.signed[member] === "object" ? 7 : [7];
        }),
      );
    }
    const signatures: [string, unknown][] = [
      ["no list", {}],
      ["a signature that is null", [null]],
      ["a signature without keyid", [{ sig: "00" }]],
      ["a signature that is a number", [{ keyid: "a", sig: 1 }]],
      ["one keyid twice", [0, 1].map(() => ({ keyid: "a", sig: "00" }))],
      ["too many", Array.from({ length: 33 }, (_, index) => ({ keyid: `${index}`, sig: "" }))],
    ];
    for (const [what, value] of signatures) {
      add(
        `${name} with signatures: ${what}`,
        tampering(name, (document: Loose) => {
          document.signatures = value as unknown[];
        }),
      );
    }
    add(
      `${name} with a fraction`,
      tampering(name, (document: Loose) => {
        document.signed.note = 1.5;
      }),
    );
    add(
      `${name} with half a surrogate pair`,
      tampering(name, (document: Loose) => {
        document.signed.note = "\ud800";
      }),
    );
  }
  const messages: [string, (message: Record<string, unknown>) => void][] = [
    ["no metadata", (message) => delete message.metadata],
    [
      "metadata that is null",
      (message) => {
        message.metadata = null;
      },
    ],
    [
      "no release where one is needed",
      (message) => {
        (message.signed as { release: null }).release = null;
      },
    ],
    [
      "an unknown action",
      (message) => {
        (message.signed as { action: string }).action = "erase";
      },
    ],
    [
      "an artifact without a hash",
      (message) => {
        (message.signed as { artifacts: unknown[] }).artifacts = [{ format: "full", url: "x" }];
      },
    ],
    [
      "a root of threshold 0",
      (message) => {
        (message as unknown as AssignmentMessage).metadata.roots[0]!.signed.roles.root.threshold =
          0;
      },
    ],
    [
      "a root that names a key twice",
      (message) => {
        const { root } = (message as unknown as AssignmentMessage).metadata.roots[0]!.signed.roles;
        root.keyids = [root.keyids[0]!, root.keyids[0]!];
      },
    ],
    [
      "a snapshot entry of version 0",
      (message) => {
        (message as unknown as AssignmentMessage).metadata.snapshot.signed.meta.x = { version: 0 };
      },
    ],
    [
      "a delegation without paths",
      (message) => {
        delete (
          (message as unknown as AssignmentMessage).metadata.targets!.signed.delegations!
            .roles[0] as { paths?: unknown }
        ).paths;
      },
    ],
    [
      "two delegations of one name",
      (message) => {
        const { roles } = (message as unknown as AssignmentMessage).metadata.targets!.signed
          .delegations!;
        roles[1]!.name = roles[0]!.name;
      },
    ],
    [
      "too many roots",
      (message) => {
        const { metadata } = message as unknown as AssignmentMessage;
        metadata.roots = Array.from({ length: 33 }, () => metadata.roots[0]!);
      },
    ],
  ];
  for (const [name, edit] of messages) {
    add(name, (set) => {
      addRoot(set);
      set.tamper.push((message) => edit(message as unknown as Record<string, unknown>));
    });
  }
  return cases;
}

function badRootChains(): BadCase[] {
  const cases: BadCase[] = [];
  const add = (name: string, make: Make) => cases.push(bad("root-chain", name, make));
  const [one, two] = KEYS.root;
  const [next, nextToo] = KEYS.nextRoot;
  const sets: [string, KeyObject[]][] = [
    ["nobody", []],
    ["one of two", [one]],
    ["the other of two", [two]],
    ["strangers", [...KEYS.stranger]],
    ["one of two and strangers", [one, ...KEYS.stranger]],
    ["release keys", [...KEYS.pump]],
    ["the targets role", [...KEYS.targets]],
    ["the director", [...KEYS.director]],
    ["all online keys", [...KEYS.snapshot, ...KEYS.timestamp, ...KEYS.director]],
  ];
  for (const [name, signers] of sets) {
    add(`a next root signed by ${name}`, (set) => {
      addRoot(set).signers = signers;
    });
    add(`a second next root signed by ${name}`, (set) => {
      addRoot(set);
      addRoot(set).signers = signers;
    });
  }
  const rotations: [string, KeyObject[]][] = [
    ["the old keys alone", [one, two]],
    ["the new keys alone", [next, nextToo]],
    ["the old keys and one new", [one, two, next]],
    ["one old and the new keys", [one, next, nextToo]],
    ["one of each", [one, next]],
    ["the new keys and a stranger", [next, nextToo, ...KEYS.stranger]],
  ];
  for (const [name, signers] of rotations) {
    add(`new root keys, signed by ${name}`, (set) => {
      const added = addRoot(set);
      added.signed.roles.root = roleOf([next, nextToo], 2);
      added.signers = signers;
    });
  }
  add("a lowered threshold, signed by the new one alone", (set) => {
    const added = addRoot(set);
    added.signed.roles.root.threshold = 1;
    added.signers = [one];
  });
  add("a raised threshold that is not met", (set) => {
    const added = addRoot(set);
    added.signed.roles.root = roleOf([one, two, next], 3);
  });
  for (const version of [3, 4, 100]) {
    add(`root ${version} without those before it`, (set) => {
      addRoot(set, { version });
    });
  }
  add("two roots of one version", (set) => {
    addRoot(set);
    addRoot(set, { version: 2 });
  });
  for (const member of ["expires", "tenant"] as const) {
    add(`a root whose ${member} was altered on the way`, (set) => {
      addRoot(set);
      set.tamper.push(({ metadata }) => {
        metadata.roots[0]!.signed[member] += "0";
      });
      if (member === "expires")
        set.tamper.push(({ metadata }) => {
          metadata.roots[0]!.signed.expires = "2040-01-01T00:00:00Z";
        });
    });
  }
  return cases;
}

function badSignatures(): BadCase[] {
  const cases: BadCase[] = [];
  const roles = [
    ["timestamp", "metadata-signature", ["timestamp"]],
    ["snapshot", "metadata-signature", ["snapshot"]],
    ["targets", "metadata-signature", ["targets"]],
    ["director", "director-signature", ["director"]],
  ] as const;
  for (const [role, check, own] of roles) {
    cases.push(
      bad(check, `${role}: unsigned`, (set) => {
        set.signers[role] = [];
      }),
    );
    for (const other of Object.keys(KEYS) as KeyName[]) {
      if ((own as readonly string[]).includes(other)) continue;
      cases.push(
        bad(check, `${role}: signed by ${other}`, (set) => {
          set.signers[role] = [...KEYS[other]];
        }),
      );
    }
  }
  for (const role of ["timestamp", "snapshot", "targets"] as const) {
    cases.push(
      bad("metadata-signature", `${role}: one signature where two are needed`, (set) => {
        set.trusted.roles[role] = roleOf([...KEYS[role], ...KEYS.stranger], 2);
      }),
      bad("metadata-signature", `${role}: a threshold that its keys cannot meet`, (set) => {
        set.trusted.roles[role].threshold = 2;
      }),
      bad("metadata-signature", `${role}: a role without keys`, (set) => {
        set.trusted.roles[role].keyids = [];
      }),
      bad("metadata-signature", `${role}: its key is missing from the root`, (set) => {
        delete set.trusted.keys[set.trusted.roles[role].keyids[0]!];
      }),
      bad("metadata-signature", `${role}: another key under its key's id`, (set) => {
        const id = set.trusted.roles[role].keyids[0]!;
        set.trusted.keys[id] = Object.values(set.trusted.keys).find((_, index) => index === 0)!;
        set.signers[role] = [KEYS.root[0]];
        set.tamper.push(({ metadata }) => {
          metadata[role]!.signatures[0]!.keyid = id;
        });
      }),
    );
  }
  const altered: [DocumentName, VerificationCheck, string][] = [
    ...(["version", "expires", "tenant", "product"] as const).map(
      (member) =>
        ["timestamp", "metadata-signature", member] as [DocumentName, VerificationCheck, string],
    ),
    ...(["version", "expires", "tenant", "product"] as const).map(
      (member) =>
        ["snapshot", "metadata-signature", member] as [DocumentName, VerificationCheck, string],
    ),
    ...(["version", "expires", "tenant"] as const).map(
      (member) =>
        ["targets", "metadata-signature", member] as [DocumentName, VerificationCheck, string],
    ),
    ...(["device", "sequence", "expires", "tenant", "updateId"] as const).map(
      (member) =>
        ["assignment", "director-signature", member] as [DocumentName, VerificationCheck, string],
    ),
  ];
  for (const [document, check, member] of altered) {
    cases.push(
      bad(
        check,
        `${document}: ${member} altered on the way`,
        tampering(document, (envelope: { signed: Record<string, unknown> }) => {
          const value = envelope.signed[member];
          envelope.signed[member] =
            member === "expires"
              ? "2040-01-01T00:00:00Z"
              : typeof value === "number"
                ? value + 1
                : `${value}x`;
        }),
      ),
    );
  }
  for (const [document, check] of [
    ["timestamp", "metadata-signature"],
    ["snapshot", "metadata-signature"],
    ["targets", "metadata-signature"],
    ["assignment", "director-signature"],
  ] as const) {
    for (const [name, edit] of SPOILT) {
      cases.push(
        bad(
          check,
          `${document}: ${name}`,
          tampering(document, (envelope: { signatures: { sig: string }[] }) => {
            const [first] = envelope.signatures;
            if (first) first.sig = edit(first.sig);
          }),
        ),
      );
    }
  }
  return [...cases, ...badReleaseSignatures()];
}

const SPOILT: [string, (sig: string) => string][] = [
  ["an empty signature", () => ""],
  ["a signature cut short", (sig) => sig.slice(0, -2)],
  ["a signature of zeros", (sig) => "0".repeat(sig.length)],
  ["a signature that is no hex", (sig) => `zz${sig.slice(2)}`],
  [
    "one bit of the signature flipped",
    (sig) =>
      (Number.parseInt(sig[20]!, 16) ^ 1)
        .toString(16)
        .padStart(1, "0")
        .replace(/^/, sig.slice(0, 20)) + sig.slice(21),
  ],
];

function badReleaseSignatures(): BadCase[] {
  const [one, two, three] = KEYS.pump;
  const sets: [string, KeyObject[]][] = [
    ["nobody", []],
    ["one of two", [one]],
    ["the second alone", [two]],
    ["the third alone", [three]],
    ["one and a stranger", [one, ...KEYS.stranger]],
    ["another product's keys", [...KEYS.valve]],
    ["one and another product's key", [two, ...KEYS.valve]],
    ["the targets role that delegated", [...KEYS.targets]],
    ["one and the targets role", [one, ...KEYS.targets]],
    ["one and the director", [one, ...KEYS.director]],
    ["all online keys", [...KEYS.snapshot, ...KEYS.timestamp, ...KEYS.director]],
    ["the root keys", [...KEYS.root]],
  ];
  const cases = sets.map(([name, signers]) =>
    bad("release-signature", `a release signed by ${name}`, (set) => {
      set.signers.release = signers;
    }),
  );
  for (const [name, signers] of [
    ["the pump's keys", [one, two]],
    ["nobody", []],
  ] as [string, KeyObject[]][]) {
    cases.push(
      bad("release-signature", `nothing delegated, signed by ${name}`, (set) => {
        set.targets = null;
        set.versions = { ...set.versions, targets: 0 };
        set.signers.release = signers;
      }),
    );
  }
  for (const member of ["version", "securityCounter", "tenant", "product", "image"] as const) {
    cases.push(
      bad(
        "release-signature",
        `a release whose ${member} was altered before the director signed`,
        (set) => {
          // The director's signature is over the altered release: only the release's own can tell.
          set.editRelease = (envelope) => {
            const signed = envelope.signed as unknown as Record<string, unknown>;
            if (member === "image")
              signed.image = { ...(signed.image as object), sha256: SHA("c") };
            else if (member === "version") signed.version = "1.2.0";
            else signed[member] = typeof signed[member] === "number" ? 4 : "valve";
          };
        },
      ),
    );
  }
  return cases;
}

function badDates(): BadCase[] {
  const dates: [string, string][] = [
    ["just now", new Date(NOW).toISOString()],
    ["a second ago", new Date(NOW - 1_000).toISOString()],
    ["three days ago", THREE_DAYS_AGO],
    ["in another century", "1926-01-01T00:00:00Z"],
  ];
  const cases: BadCase[] = [];
  for (const [when, expires] of dates) {
    for (const name of ["timestamp", "snapshot", "targets", "assignment", "release"] as const) {
      cases.push(
        bad("expiry", `${name} that expired ${when}`, (set) => {
          set[name]!.expires = expires;
        }),
      );
    }
    cases.push(
      bad("expiry", `trusted root that expired ${when}`, (set) => {
        set.trusted.expires = expires;
      }),
      bad("expiry", `new root that expired ${when}`, (set) => {
        addRoot(set, { expires });
      }),
    );
  }
  for (const name of ["assignment", "release"] as const) {
    for (const expires of ["", "never", "9999999999999999"]) {
      cases.push(
        bad("expiry", `${name} that expires "${expires}"`, (set) => {
          set[name].expires = expires;
        }),
      );
    }
  }
  return cases;
}

function badVersions(): BadCase[] {
  const cases: BadCase[] = [];
  for (const name of ["timestamp", "snapshot"] as const) {
    for (const seen of [1, 2, 1_000]) {
      cases.push(
        bad("metadata-version", `${name} older by ${seen}`, (set) => {
          set.versions = { ...set.versions, [name]: set[name].version + seen };
        }),
      );
    }
  }
  for (const seen of [1, 50]) {
    cases.push(
      bad("metadata-version", `delegations older by ${seen}`, (set) => {
        set.versions = { ...set.versions, targets: 3 + seen };
      }),
    );
  }
  cases.push(
    bad("metadata-version", "delegations that were there before and are gone", (set) => {
      set.targets = null;
      set.signers.release = [...KEYS.targets];
    }),
    bad(
      "metadata-version",
      "a new root with the same online keys does not reset what was seen",
      (set) => {
        addRoot(set);
        set.versions = { ...set.versions, timestamp: 10 };
      },
    ),
  );
  return cases;
}

function badBindings(): BadCase[] {
  const cases: BadCase[] = [];
  const wrong: [
    string,
    (meta: { version: number; length?: number; hashes?: Record<string, string> }) => void,
  ][] = [
    [
      "another hash",
      (meta) => {
        meta.hashes = { sha256: SHA("0") };
      },
    ],
    [
      "another length",
      (meta) => {
        meta.length = 1;
      },
    ],
    [
      "another version",
      (meta) => {
        meta.version += 1;
      },
    ],
    [
      "a hash of an unknown kind",
      (meta) => {
        meta.hashes = { crc32: "00000000" };
      },
    ],
    [
      "a second hash that is wrong",
      (meta) => {
        meta.hashes = { ...meta.hashes, sha512: SHA("0") };
      },
    ],
  ];
  for (const [name, edit] of wrong) {
    cases.push(
      bad("metadata-binding", `the timestamp names the snapshot by ${name}`, (set) => {
        set.editTimestamp.push(edit);
      }),
      bad("metadata-binding", `the snapshot names the delegations by ${name}`, (set) => {
        set.editMeta.push((meta) => edit(meta["targets.json"]!));
      }),
      bad("metadata-binding", `the snapshot names the release by ${name}`, (set) => {
        set.editMeta.push((meta) => edit(meta["pump/1.1.0.json"]!));
      }),
    );
  }
  for (const name of ["pump/1.1.0.json", "targets.json"] as const) {
    cases.push(
      bad("metadata-binding", `the snapshot does not name ${name}`, (set) => {
        set.versions = { ...set.versions, targets: 0 };
        set.editMeta.push((meta) => {
          delete meta[name];
        });
      }),
    );
  }
  cases.push(
    bad("metadata-binding", "delegations that the snapshot names are kept back", (set) => {
      set.signers.release = [...KEYS.targets];
      set.tamper.push(({ metadata }) => {
        metadata.targets = null;
      });
    }),
    bad(
      "metadata-binding",
      "a release that was withdrawn, with another one in its place",
      (set) => {
        set.editMeta.push((meta) => {
          meta["pump/1.1.1.json"] = meta["pump/1.1.0.json"]!;
          delete meta["pump/1.1.0.json"];
        });
      },
    ),
  );
  return cases;
}

function badFacts(): BadCase[] {
  const cases: BadCase[] = [];
  const add = (check: VerificationCheck, name: string, make: Make) =>
    cases.push(bad(check, name, make));
  for (const sequence of [7, 6, 0, -1]) {
    add("sequence", `sequence ${sequence} after 7`, (set) => {
      set.assignment.sequence = sequence;
    });
  }
  for (const name of ["timestamp", "snapshot", "targets", "release", "assignment"] as const) {
    for (const tenant of ["globex", "ACME", "acme ", ""]) {
      add("tenant", `${name} of tenant "${tenant}"`, (set) => {
        set[name]!.tenant = tenant;
      });
    }
  }
  add("tenant", "a new root for another tenant", (set) => {
    addRoot(set, { tenant: "globex" });
  });
  add("tenant", "a trusted root of another tenant", (set) => {
    set.trusted.tenant = "globex";
  });
  for (const device of ["pump-2", "pump-10", "PUMP-1", "pump", ""]) {
    add("device", `device "${device}"`, (set) => {
      set.assignment.device = device;
    });
  }
  for (const name of ["timestamp", "snapshot"] as const) {
    for (const product of ["valve", "Pump", ""]) {
      add("product", `${name} of product "${product}"`, (set) => {
        set[name].product = product;
      });
    }
  }
  add("product", "another product's release, signed by its own people", (set) => {
    set.release.product = "valve";
    set.signers.release = [...KEYS.valve];
  });
  for (const revisions of [[], ["b"], ["A"], ["a "], ["aa", "b"]]) {
    add("hardware", `hardware ${JSON.stringify(revisions)}`, (set) => {
      set.release.hardwareRevisions = revisions;
    });
  }
  for (const securityCounter of [2, 1, 0, -5]) {
    add("security-counter", `counter ${securityCounter} below 3`, (set) => {
      set.release.securityCounter = securityCounter;
    });
  }
  add("security-counter", "a downgrade that is meant, below the floor", (set) => {
    set.release.securityCounter = 2;
    set.assignment.allowDowngrade = true;
    set.facts.runningVersion = "2.0.0";
  });
  for (const running of ["0.9.9", "0.1.0", "1.0.0-rc.1"]) {
    add("minimum-version", `from ${running}`, (set) => {
      set.facts.runningVersion = running;
    });
  }
  for (const running of ["1.1.1", "1.2.0", "2.0.0", "1.1.1-rc.1"]) {
    add("downgrade", `from ${running}`, (set) => {
      set.facts.runningVersion = running;
    });
  }
  for (const slotSizeBytes of [999, 1, 0]) {
    add("size", `a slot of ${slotSizeBytes}`, (set) => {
      set.facts.slotSizeBytes = slotSizeBytes;
    });
  }
  return cases;
}
