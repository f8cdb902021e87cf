import { Paper, Radio, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { api, type SecondFactorPolicy, signInPolicyQuery } from "../../api/index.ts";
import { Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";

const POLICIES: readonly { value: SecondFactorPolicy; label: string; description: string }[] = [
  {
    value: "optional",
    label: "Who wants to",
    description: "Everybody may set one up under “Your account”",
  },
  {
    value: "administrators",
    label: "Administrators",
    description: "Of the platform and of tenants: who can do most, proves most",
  },
  {
    value: "everybody",
    label: "Everybody",
    description: "Whoever signs in with a password; a passkey or a provider is enough by itself",
  },
];

/** Who needs more than a password. */
export function SecondFactors() {
  const policy = useQuery(signInPolicyQuery);
  const save = useAction({
    run: (who: SecondFactorPolicy) => api.setSignInPolicy(who),
    done: () => "The policy is in force from the next sign-in on",
    refresh: ["platform", "sign-in-policy"],
  });
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={640}>
        Whoever needs a second factor and has none is asked to set it up at the next sign-in, and
        can do nothing else before.
      </Text>
      <Paper p="md" maw={640}>
        <Loaded query={policy}>
          {({ secondFactor }) => (
            <Radio.Group
              label="Who needs a second factor"
              value={save.isPending ? save.variables : secondFactor}
              onChange={(who) => save.mutate(who as SecondFactorPolicy)}
            >
              <Stack mt="sm" gap="sm">
                {POLICIES.map((one) => (
                  <Radio key={one.value} {...one} disabled={save.isPending} />
                ))}
              </Stack>
            </Radio.Group>
          )}
        </Loaded>
      </Paper>
    </Stack>
  );
}
