//! Redis goes away in the midst of a storm, and comes back.

use std::io;

use super::super::args::{ClusterArgs, ClusterCase};
use super::super::redis::StartWith;
use super::super::scene::Scene;
use super::{Happened, middle_of_a_storm};
use crate::storm::{Progress, wait_until_back};

/// Lets it happen.
///
/// # Errors
/// When a process ends by itself, or the harness fails.
pub(super) async fn away(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let absent = || io::Error::other("there is no Redis");
    let mut with = StartWith::ItsData;
    if args.case == ClusterCase::RedisEmpty {
        with = StartWith::Nothing;
    } else if args.case == ClusterCase::RedisDump {
        with = StartWith::Dump(scene.redis.as_ref().ok_or_else(absent)?.dump().await?);
        tokio::time::sleep(args.away.0).await;
    }
    let cut_at = middle_of_a_storm(scene, args).await?;
    let redis = scene.redis.as_mut().ok_or_else(absent)?;
    match args.case {
        ClusterCase::RedisPause => {
            redis.hang(true)?;
            tokio::time::sleep(args.away.0).await;
            redis.hang(false)?;
        }
        ClusterCase::RedisFailover => redis.fail_over().await?,
        _ => {
            redis.stop().await?;
            tokio::time::sleep(args.away.0).await;
            redis.start_again(&with).await?;
        }
    }
    wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    Ok(Happened { cut_at: Some(cut_at), ..Happened::default() })
}
