#include "learner/critic/reward.h"

#include <math.h>

#include "common/agent/mode.h"

#define WINDOW 1000

void
reward_init(reward *rw, const aa_conf *cfg)
{
    *rw = (reward){.loss_drop = aa_mode_of(cfg)->reward == AA_REWARD_LOSS_DROP,
                   .row_cost = (float)cfg->agent.row_cost};
}

float
reward_of(reward *rw, const reward_case *rc)
{
    const float cost = rc->own_row ? rw->row_cost : 0.0f;
    float       r = 0.0f;
    if (rw->loss_drop) {
        float mean = rw->st.events ? (float)rw->st.mean_loss : rc->loss;
        r = (isnan(rc->baseline) ? mean : rc->baseline) - rc->loss - cost;
    } else if (!isnan(rc->shared_loss)) {
        r = rc->shared_loss - rc->loss - cost;
    } else {
        return 0.0f;
    }
    rw->st.mean_reward += ((double)r - rw->st.mean_reward) / WINDOW;
    return r;
}

float
reward_between(const reward *rw, bool own_row)
{
    return own_row ? -rw->row_cost : 0.0f;
}

void
reward_event(reward *rw, float loss)
{
    rw->st.events++;
    double n = rw->st.events < WINDOW ? (double)rw->st.events : WINDOW;
    rw->st.mean_loss += ((double)loss - rw->st.mean_loss) / n;
}
