//! The tagging API's index: what it says is this stage's, asked for once a run.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::cache::Cache;
use super::naming::Tags;
use super::{ApiError, Call, Cloud, Context, Pages, told};

/// ARNs that carry this stage's tags, as far as the tagging API knows.
///
/// It lags by minutes: what was just created is missing, what was just deleted is still there, and
/// somebody else may have the name by now. What may be concluded from it `ownership` says.
#[derive(Debug, Default)]
pub struct Index {
    answer: Cache<Arc<Answer>>,
    /// It has been wrong, or too old.
    distrusted: AtomicBool,
}

/// All ARNs with their tags, or why they could not be asked for.
pub type Answer = Result<HashMap<String, Tags>, String>;

impl Index {
    pub async fn arns(&self, cx: &Context<'_>) -> Arc<Answer> {
        let ask = async || {
            let arns = ask(cx.cloud).await.map_err(|error| error.to_string());
            Ok::<_, Infallible>(Arc::new(arns))
        };
        let Ok(answer) = self.answer.get(cx, "", ask).await;
        answer
    }

    /// Whether it has been wrong, or may be too old.
    pub fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    /// Believes it no longer.
    pub fn distrust(&self) {
        self.answer.clear();
        self.distrusted.store(true, Ordering::Relaxed);
    }
}

async fn ask(cloud: &Cloud) -> Result<HashMap<String, Tags>, ApiError> {
    let asked = ("tag:GetResources", "all tagged resources");
    let filters: Vec<_> = cloud
        .names
        .tags()
        .into_iter()
        .map(|(key, value)| TagFilter::builder().key(key).values(value).build())
        .collect();
    let filters = &filters;
    let found = Pages::of(asked.0, asked.1).all(|token| async move {
        let request = cloud
            .tagging
            .get_resources()
            .set_tag_filters(Some(filters.clone()))
            .resources_per_page(100)
            .set_pagination_token(token);
        let page = Call::new(asked.0, asked.1).send(|| request.clone().send()).await?;
        let found = told(page.resource_tag_mapping_list, "ResourceTagMappingList", asked)?;
        // The last page's is empty (Resource Groups Tagging API Reference, "GetResources").
        Ok((found, page.pagination_token.filter(|token| !token.is_empty())))
    });
    let arns = found.await?.into_iter().filter_map(|found| {
        let tags = found.tags.unwrap_or_default().into_iter();
        // Log groups come with and without `:*`.
        let arn = found.resource_arn?.trim_end_matches(":*").to_owned();
        Some((arn, tags.map(|tag| (tag.key, tag.value)).collect()))
    });
    Ok(arns.collect())
}
